"""XDP: programs in the receive path of a network driver (net/core/dev.c `bpf_xdp_link_attach`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ebpf.abi.types import AttachType, Cmd
from ebpf.link.devices import interface_index
from ebpf.link.link import Link
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.objects import Program

_MODES = {"auto": 0, "generic": 1 << 1, "native": 1 << 2, "offload": 1 << 3}
"""XDP_FLAGS_*_MODE of linux/if_link.h."""


def xdp(program: Program, target: str | int, *, mode: Literal["auto", "generic", "native", "offload"] = "auto") -> Link:
    """Attach to a network interface, by name or number (Linux 5.9); packets go through from then on.

    `mode` "generic" works on every interface, "native" runs in the driver, "offload" on the card; "auto" is native
    where the driver can. Raises SystemCallError (EBUSY: the interface has a program already), MissingPrivilegeError
    without CAP_NET_ADMIN, OSError for an interface that is not there.
    """
    if mode not in _MODES:
        raise ValueError(f"mode is one of {', '.join(_MODES)}; got {mode!r}")
    index = interface_index(program.runtime, target)
    attr = attrs.LinkCreate(target_ifindex=index, attach_type=AttachType.XDP, flags=_MODES[mode])
    with program.handle.borrow() as attr.prog_fd:
        fd = program.runtime.bpf(Cmd.LINK_CREATE, attr)
    return Link(program.runtime, program.runtime.own(fd), program=program, hook=f"xdp of {target}")
