"""A live link: a program attached to a hook (`BPF_LINK_*` commands)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ebpf.abi.linux import EINVAL, EOPNOTSUPP
from ebpf.abi.types import Cmd
from ebpf.errors import SystemCallError
from ebpf.objects.held import Held
from ebpf.runtime import attrs
from ebpf.runtime.info import link_info

if TYPE_CHECKING:
    from ebpf.objects import Program
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.info import LinkInfo

_REPLACE = 4
"""BPF_F_REPLACE: only if the old program is the one named."""


class Link(Held):
    """An attachment; close it (or leave its `with` block) to detach, unless it is pinned.

    Threads may share it; close() from another thread lets calls in flight finish. `program` is what was attached
    (None for a link that was opened), the caller's to close: the link keeps it loaded.
    """

    _KIND = "link"
    _NEXT = Cmd.LINK_GET_NEXT_ID
    _BY_ID = Cmd.LINK_GET_FD_BY_ID

    def __init__(self, runtime: Runtime, handle: Handle, *, program: Program | None = None, hook: str = "") -> None:
        """Wrap an open handle, which this object owns from now on; `hook` describes it in listings."""
        super().__init__(runtime, handle)
        self.program = program
        self.hook = hook

    @staticmethod
    def _wrap(runtime: Runtime, handle: Handle) -> Link:
        return Link(runtime, handle)

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __repr__(self) -> str:
        name = repr(self.program.name) if self.program is not None else "a program"
        return f"<{type(self).__name__} {name} on {self.hook or 'a hook'}{' closed' if self.closed else ''}>"
