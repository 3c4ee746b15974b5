"""Epochs: since when the runs of this process have been running (support/map_elements.h).

Runs find elements of native maps without a lock. What was deleted or replaced is used again only when every run has
ended that began before. One clock serves all maps of the process: word 0 is the time, word 1 the number of words in
use, and each further word the time at which a run began, 0 where there is none.
"""

from __future__ import annotations

import os
from array import array

from ebpf.lean import Lock, RLock, get_ident, ref

_MOST_RUNS = 1 << 12
_NOW, _USED, _CROWD = 0, 1, 2
"""Runs beyond the limit share word `_CROWD`: it says when the first of them began, until all have ended."""

WORDS = array("Q", [0]) * _MOST_RUNS
WORDS[_NOW], WORDS[_USED] = 1, _CROWD + 1

SCRATCH = array("Q", [0])
"""Where native code may write whose epoch is the crowd's: that lasts until the last of it leaves."""
CLOCK = WORDS.buffer_info()[0]
"""Address of the time."""

_free: list[int] = []
_fresh = iter(range(_CROWD + 1, _MOST_RUNS))
"""Words that were given back, and those that nobody has had; taking one of either can't be interrupted."""
_crowd = 0
_lock = RLock()
"""Entered again where a destructor or a signal handler runs a program in the middle of it."""
_barrier = Lock()
"""Taken and freed for the memory barrier in it: a run's epoch has to be seen before the run looks anything up. On ARM64
there is none in it, and native code has its own."""


class _Ticket(ref["Epoch"]):
    """What an epoch has to give back, also where it is dropped before it was left, as after an interrupt.

    `word` is 0 once that is done; `thread` is whose run it is of.
    """

    __slots__ = ("key", "thread", "word")
    key: int
    thread: int
    word: int


_tickets: dict[int, _Ticket] = {}
_dropped: list[_Ticket] = []


class Epoch:
    """The time at which a run began; `leave` when it has ended. One that is dropped ends when the next one begins.

    No finaliser of Python's does that, where an interrupt would be lost.
    """

    __slots__ = ("__weakref__", "_ticket")

    def __init__(self) -> None:
        if _dropped:
            _take_back()
        key, thread = id(self), get_ident()
        try:
            word = _free.pop()
        except IndexError:
            word = next(_fresh, 0)
        ticket = self._ticket = _Ticket(self, _dropped.append)
        ticket.key, ticket.thread, ticket.word = key, thread, word
        _tickets[key] = ticket  # whole: other threads look at it
        if not word:
            _join_crowd(ticket)
            return
        if word >= WORDS[_USED]:
            WORDS[_USED] = word + 1
        WORDS[word] = WORDS[_NOW]
        with _barrier:
            pass

    def leave(self) -> None:
        """Let what was deleted since then be used again. Further calls do nothing."""
        if self._ticket.word:
            with _lock:
                _end(self._ticket)

    @property
    def shared(self) -> bool:
        """Whether it is one of the crowd: it then lasts until the last of them leaves, runs or not."""
        return self._ticket.word <= _CROWD

    @property
    def cell(self) -> memoryview:
        """The number in which native code notes, in turn, when each run of a lane begins; 0: no run is on."""
        words, word = self._place
        return memoryview(words)[word : word + 1]

    @property
    def address(self) -> int:
        """Where that is."""
        words, word = self._place
        return words.buffer_info()[0] + 8 * word

    @property
    def _place(self) -> tuple[array[int], int]:
        return (SCRATCH, 0) if self.shared else (WORDS, self._ticket.word)

    def run_here(self) -> None:
        """Take note that the run is one of this thread's: a lane may have been made by another one."""
        self._ticket.thread = get_ident()

    def pause(self) -> None:
        """No run is on: nothing waits for this epoch until native code begins one."""
        if self._ticket.word > _CROWD:
            WORDS[self._ticket.word] = 0


def is_scarce() -> bool:
    """Whether half of the words are taken: who can do without one keeps none between runs."""
    return len(_tickets) >= _MOST_RUNS // 2


def older_runs() -> bool:
    """Whether there are runs of other threads that began before those of this one, if it has any.

    They alone are waited for: then no two threads wait for each other. True also when what held memory was dropped.
    """
    if _dropped:
        _take_back()
        return True
    tickets = [(ticket.word, ticket.thread) for ticket in list(_tickets.values())]
    running = [(WORDS[word], word, thread) for word, thread in tickets if word > _CROWD]
    oldest = min((run for run in running if run[0]), default=None)
    return oldest is not None and oldest[2] != get_ident()


def _join_crowd(ticket: _Ticket) -> None:
    global _crowd
    with _lock:
        if not _crowd:
            WORDS[_CROWD] = WORDS[_NOW]
        _crowd += 1
        ticket.word = _CROWD  # nothing can come between the two


def _end(ticket: _Ticket) -> None:
    """Give back, once, what a ticket stands for, wherever an interrupt comes. The caller has taken `_lock`."""
    global _crowd
    word, ticket.word = ticket.word, 0
    if word == _CROWD:
        _crowd -= 1  # nothing can come before that
        if not _crowd:
            WORDS[_CROWD] = 0
    elif word:
        WORDS[word] = 0  # nor before that: a word that is lost is one of many, a time that stays would hold all back
        _free.append(word)
    if _tickets.get(ticket.key) is ticket:
        del _tickets[ticket.key]


def _take_back() -> None:
    """End the epochs that were dropped."""
    with _lock:
        while _dropped:
            ticket = _dropped[0]
            _end(ticket)
            if _dropped and _dropped[0] is ticket:  # else one that came in between has done it
                del _dropped[0]


def _forget_other_threads() -> None:
    # In the child of a fork their runs go on nowhere.
    global _barrier, _crowd, _lock
    _lock, _barrier = RLock(), Lock()
    _take_back()
    me = get_ident()
    for ticket in list(_tickets.values()):
        if ticket.thread == me:
            continue
        if ticket.word == _CROWD:
            ticket.word = 0
            del _tickets[ticket.key]
        else:
            WORDS[ticket.word] = 0  # it stays its own: a lane that another thread made may still be used here
    _crowd = sum(ticket.word == _CROWD for ticket in _tickets.values())
    if not _crowd:
        WORDS[_CROWD] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
