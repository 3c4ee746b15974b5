"""A live link: a program attached to a hook (`BPF_LINK_*` commands)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from ebpf.abi.linux.errno import EINVAL, EOPNOTSUPP
from ebpf.abi.types import Cmd
from ebpf.errors import SystemCallError
from ebpf.objects import pins
from ebpf.objects.open import iter_handles, open_by_id
from ebpf.runtime import attrs, select
from ebpf.runtime.info import link_info

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.objects import Program
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.info import LinkInfo

_REPLACE = 4
"""BPF_F_REPLACE: only if the old program is the one named."""


class Link:
    """An attachment; close it (or leave its `with` block) to detach, unless it is pinned.

    Threads may share it; close() from another thread lets calls in flight finish. `program` is what was attached
    (None for a link that was opened), the caller's to close: the link keeps it loaded.
    """

    def __init__(self, runtime: Runtime, handle: Handle, *, program: Program | None = None, hook: str = "") -> None:
        """Wrap an open handle, which this object owns from now on; `hook` describes it in listings."""
        self.runtime = runtime
        self.program = program
        self.hook = hook
        self._handle = handle

    @classmethod
    def open_pinned(cls, path: str | os.PathLike[str], *, runtime: Runtime | str = "auto") -> Link:
        """Open the link that is pinned at `path` (Linux 5.7)."""
        chosen = select(runtime)
        return Link(chosen, pins.open_pinned(chosen, path, "link"), hook=f"pinned at {os.fspath(path)}")

    @classmethod
    def open_id(cls, number: int, *, runtime: Runtime | str = "auto") -> Link:
        """Open a link by its id (Linux 5.8, CAP_SYS_ADMIN)."""
        chosen = select(runtime)
        return Link(chosen, open_by_id(chosen, Cmd.LINK_GET_FD_BY_ID, number), hook=f"id {number}")

    @classmethod
    def iter_all(cls, *, runtime: Runtime | str = "auto") -> Iterator[Link]:
        """Open every link of the runtime, one at a time; each is the caller's to close."""
        chosen = select(runtime)
        for handle in iter_handles(chosen, Cmd.LINK_GET_NEXT_ID, Cmd.LINK_GET_FD_BY_ID):
            yield Link(chosen, handle)

    @property
    def id(self) -> int:
        """The kernel's number of this link, unique while the link lives."""
        return self.info().id

    @property
    def handle(self) -> Handle:
        """The handle; it stays this object's."""
        return self._handle

    def info(self) -> LinkInfo:
        """Ask the kernel about the link (`struct bpf_link_info`, Linux 5.8)."""
        return link_info(self.runtime, self._handle)

    def start(self) -> None:
        """Begin; links of a kernel are active from their creation."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of what feeds the link; links of a kernel have no end, so there is nothing to wait for."""

    def update(self, program: Program, *, old: Program | None = None) -> None:
        """Replace the program atomically; with `old` only if that is the present one.

        XDP, tcx, cgroup and netns links; others answer EINVAL.
        """
        attr = attrs.LinkUpdate(flags=0 if old is None else _REPLACE)
        with self._handle.borrow() as attr.link_fd, program.handle.borrow() as attr.new_prog_fd:
            if old is None:
                self.runtime.bpf(Cmd.LINK_UPDATE, attr)
            else:
                with old.handle.borrow() as attr.old_prog_fd:
                    self.runtime.bpf(Cmd.LINK_UPDATE, attr)
        self.program = program

    def detach(self) -> None:
        """Detach now, even if the link is pinned or open elsewhere (Linux 5.9), and close.

        Types that the kernel can't detach by force (tracing, perf events) are only closed.
        """
        if self.closed:
            return
        try:
            with self._handle.borrow() as fd:
                self.runtime.bpf(Cmd.LINK_DETACH, attrs.LinkDetach(link_fd=fd))
        except SystemCallError as error:
            if error.linux_errno not in (EINVAL, EOPNOTSUPP):
                raise
        finally:
            self.close()

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the link a path, so that the program stays attached when this process ends (Linux 5.7)."""
        pins.pin(self.runtime, self._handle, path)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle.closed

    def close(self) -> None:
        """Close the handle; detaches unless the link is pinned. May be called again, from any thread."""
        self._handle.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        name = repr(self.program.name) if self.program is not None else "a program"
        return f"<{type(self).__name__} {name} on {self.hook or 'a hook'}{' closed' if self.closed else ''}>"
