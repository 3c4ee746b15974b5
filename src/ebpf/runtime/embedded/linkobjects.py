"""Links: an attached program as an object of its own (kernel/bpf/syscall.c struct bpf_link)."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.abi.types import AttachType, LinkType
from ebpf.runtime.embedded.objects import KernelObject, ProgramObject


class LinkObject(KernelObject):
    """A program on an attach point. `target`: an ifindex, a cgroup's number or a tracepoint's name; 0 once detached."""

    kind = "link"

    def __init__(
        self,
        type_: LinkType,
        program: ProgramObject,
        *,
        attach_type: AttachType | None,
        target: int | str,
        cookie: int = 0,
        ended: Callable[[LinkObject], None],
    ) -> None:
        super().__init__()
        self.type = type_
        self.holds.append(program)
        self.attach_type = attach_type
        self.target = target
        self.cookie = cookie
        self._ended = ended

    @property
    def program(self) -> ProgramObject:
        """What is attached."""
        program = self.holds[0]
        assert isinstance(program, ProgramObject)
        return program

    @program.setter
    def program(self, program: ProgramObject) -> None:
        self.holds[0] = program

    def destroy(self) -> None:
        self._ended(self)

    def details(self) -> dict[str, int | str | bytes]:
        """Return the members of struct bpf_link_info that belong to the link's type."""
        attach_type = int(self.attach_type or 0)
        if self.type == LinkType.RAW_TRACEPOINT:
            return {"cookie": self.cookie}
        if self.type == LinkType.CGROUP:
            return {"cgroup_id": int(self.target), "attach_type": attach_type}
        if self.type == LinkType.TCX:
            return {"ifindex": int(self.target), "attach_type": attach_type}
        return {"ifindex": int(self.target)}

    def texts(self) -> dict[str, bytes]:
        """Return the strings of struct bpf_link_info."""
        return {"tp_name": f"{self.target}\0".encode()} if self.type == LinkType.RAW_TRACEPOINT else {}
