"""Epochs: since when the runs of this process have been running (support/map_elements.h).

Runs find elements of native maps without a lock. What was deleted or replaced is used again only when every run has
ended that began before. One clock serves all maps of the process: word 0 is the time, word 1 the number of words in
use, and each further word the time at which a run began, 0 where there is none.
"""

from __future__ import annotations

import os
from array import array

from ebpf.lean import Lock, get_ident, ref

_MOST_RUNS = 1 << 12
_NOW, _USED, _CROWD = 0, 1, 2
"""Runs beyond the limit share word `_CROWD`: it says when the first of them began, until all have ended."""

WORDS = array("Q", bytes(8 * _MOST_RUNS))
WORDS[_NOW], WORDS[_USED] = 1, _CROWD + 1

_SCRATCH = array("Q", [0])
"""Where native code may write whose epoch is the crowd's: that lasts until the last of it leaves."""
CLOCK = WORDS.buffer_info()[0]
"""Address of the time."""

_free = list(range(_MOST_RUNS - 1, _CROWD, -1))
_owners: dict[int, int] = {}
_crowd = 0
_lock = Lock()
_barrier = Lock()
"""Taken and freed for the memory barrier in it: a run's epoch has to be seen before the run looks anything up. On ARM64
there is none in it, and native code has its own."""


class _Ticket(ref["Epoch"]):
    """Notes that an epoch was dropped before it was left, as after an interrupt. `thread` is whose run it is of."""

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

    __slots__ = ("__weakref__", "_word")

    def __init__(self) -> None:
        if _dropped:
            _take_back()
        key, thread = id(self), get_ident()
        try:
            self._word = word = _free.pop()
        except IndexError:
            self._word = word = _CROWD
        ticket = _tickets[key] = _Ticket(self, _dropped.append)
        ticket.key, ticket.word, ticket.thread = key, word, thread
        if word == _CROWD:
            with _lock:
                _change_crowd(1)
            return
        _owners[word] = thread
        if word >= WORDS[_USED]:
            WORDS[_USED] = word + 1
        WORDS[word] = WORDS[_NOW]
        with _barrier:
            pass

    def leave(self) -> None:
        """Let what was deleted since then be used again. Further calls do nothing."""
        word, self._word = self._word, 0
        if not word:
            return
        if word == _CROWD:
            with _lock:
                if _tickets.pop(id(self), None) is not None:  # or the child of a fork no longer counts on it
                    _change_crowd(-1)
        else:
            WORDS[word] = 0
            _free.append(word)
            del _tickets[id(self)]

    @property
    def address(self) -> int:
        """Where native code notes, in turn, when each run of a lane begins."""
        words, word = (_SCRATCH, 0) if self._word == _CROWD else (WORDS, self._word)
        return words.buffer_info()[0] + 8 * word

    def pause(self) -> None:
        """No run is on: nothing waits for this epoch until native code begins one."""
        if self._word != _CROWD:
            WORDS[self._word] = 0


def older_runs() -> bool:
    """Whether there are runs of other threads that began before those of this one, if it has any.

    They alone are waited for: then no two threads wait for each other. True also when what held memory was dropped.
    """
    if _dropped:
        _take_back()
        return True
    running = [(WORDS[word], word, owner) for word, owner in list(_owners.items())]
    oldest = min((run for run in running if run[0]), default=None)
    return oldest is not None and oldest[2] != get_ident()


def _change_crowd(change: int) -> None:
    global _crowd
    if not _crowd:
        WORDS[_CROWD] = WORDS[_NOW]
    _crowd += change
    if not _crowd:
        WORDS[_CROWD] = 0


def _take_back() -> None:
    """End the epochs that were dropped."""
    with _lock:
        while _dropped:
            ticket = _dropped[0]
            word, ticket.word = ticket.word, 0  # once, even if an interrupt comes in between
            if word == _CROWD:
                _change_crowd(-1)
            elif word:
                WORDS[word] = 0
                _free.append(word)
            if _tickets.get(ticket.key) is ticket:
                del _tickets[ticket.key]
            del _dropped[0]


def _forget_other_threads() -> None:
    # In the child of a fork their runs go on nowhere.
    global _barrier, _crowd, _lock
    _lock, _barrier = Lock(), Lock()
    _take_back()
    me = get_ident()
    for ticket in list(_tickets.values()):
        if ticket.thread == me:
            continue
        if ticket.word == _CROWD:
            del _tickets[ticket.key]
        else:
            WORDS[ticket.word] = 0  # its own for ever: a lane that another thread made may still be used here
    _crowd = sum(ticket.word == _CROWD for ticket in _tickets.values())
    if not _crowd:
        WORDS[_CROWD] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
