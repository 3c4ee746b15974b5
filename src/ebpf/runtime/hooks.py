"""Attach points that LINK_CREATE can't describe; `Runtime.attach` takes them.

They are immutable, so that threads may share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ebpf.runtime.base import Runner


@dataclass(frozen=True, slots=True)
class TracepointHook:
    """A kernel tracepoint by group and name; `cookie` is what bpf_get_attach_cookie returns (Linux 5.15)."""

    group: str
    name: str
    cookie: int = 0


@dataclass(frozen=True, slots=True)
class SocketFilterHook:
    """A socket by its file descriptor (SO_ATTACH_BPF); the socket stays the caller's."""

    fd: int


@dataclass(frozen=True, slots=True)
class PacketsHook:
    """A source of packets: each goes through the program on a thread of its own from start() on.

    `sink` gets (packet as the program left it, RunResult); `done` is called once when the source is exhausted or
    the link was closed, with the exception that ended it or None. `lossless` waits for ring space instead of dropping.
    `runner` is what runs the program; None: what the runtime takes for one whose engine nobody has chosen.
    """

    packets: Iterable[bytes]
    sink: Callable[[bytes, object], None] | None = None
    done: Callable[[BaseException | None], None] | None = None
    lossless: bool = True
    runner: Runner | None = None


Hook: TypeAlias = TracepointHook | SocketFilterHook | PacketsHook
