"""Socket filters: which packets a socket receives, and how much of each (net/core/filter.c `sk_attach_bpf`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ebpf.errors import NotSupportedError
from ebpf.link.link import Link
from ebpf.runtime.hooks import SocketFilterHook

if TYPE_CHECKING:
    import socket

    from ebpf.objects import Program
    from ebpf.runtime.info import LinkInfo


def socket_filter(program: Program, target: socket.socket | int) -> Link:
    """Attach to a socket (or its descriptor), in place of the filter that it has (Linux 3.19).

    The socket stays the caller's; closing the link takes the filter away, closing the socket does too. Needs no
    privilege beyond that to load the program. Raises SystemCallError, NotSupportedError in the embedded kernel.
    """
    fd = target if isinstance(target, int) else target.fileno()
    handle = program.runtime.attach(program.facts, SocketFilterHook(fd))
    return SocketFilterLink(program.runtime, handle, program=program, hook=f"socket {fd}")


class SocketFilterLink(Link):
    """A filter on a socket, which the kernel does not know as a link."""

    def info(self) -> LinkInfo:
        """Not there: the kernel has no link for it."""
        raise NotSupportedError("information about a socket's filter", runtime=self.runtime.name)

    def update(self, program: Program, *, old: Program | None = None) -> None:
        """Not there: attach the other program, which takes this one's place."""
        raise NotSupportedError("replacing a socket's filter", alternative="attach the other program to the socket")

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Not there: the filter lives as long as the socket."""
        raise NotSupportedError("pinning a socket's filter", runtime=self.runtime.name)

    def detach(self) -> None:
        """Take the filter away."""
        self.close()
