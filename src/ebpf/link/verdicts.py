"""What the return value of a program means for its packet (linux/bpf.h `xdp_action`, linux/pkt_cls.h `TC_ACT_*`)."""

from __future__ import annotations

from ebpf.abi.types import ProgramType

XDP = {0: "ABORTED", 1: "DROP", 2: "PASS", 3: "TX", 4: "REDIRECT"}
TC = {
    0xFFFFFFFF: "UNSPEC", 0: "OK", 1: "RECLASSIFY", 2: "SHOT", 3: "PIPE", 4: "STOLEN", 5: "QUEUED", 6: "REPEAT",
    7: "REDIRECT", 8: "TRAP",
}  # fmt: skip
CGROUP = {0: "DROP", 1: "PASS", 2: "DROP_CN", 3: "PASS_CN"}

_NAMES = {
    ProgramType.XDP: XDP,
    ProgramType.SCHED_CLS: TC,
    ProgramType.SCHED_ACT: TC,
    ProgramType.CGROUP_SKB: CGROUP,
}
_SURVIVORS = {
    ProgramType.XDP: frozenset({"PASS", "TX"}),
    ProgramType.SCHED_CLS: frozenset({"OK", "UNSPEC", "PIPE"}),
    ProgramType.SCHED_ACT: frozenset({"OK", "UNSPEC", "PIPE"}),
    ProgramType.CGROUP_SKB: frozenset({"PASS", "PASS_CN"}),
}
PACKET_TYPES = frozenset({*_NAMES, ProgramType.SOCKET_FILTER})
"""Types of programs that packets can be fed to."""
REWRITERS = frozenset({ProgramType.XDP, ProgramType.SCHED_CLS, ProgramType.SCHED_ACT})
"""Types of programs that may change the packet."""


def verdict(type_: ProgramType, retval: int) -> str:
    """Name a return value; a number that has no name is shown as such."""
    if type_ is ProgramType.SOCKET_FILTER:
        return "PASS" if retval else "DROP"
    return _NAMES[type_].get(retval, str(retval))


def survivor(type_: ProgramType, retval: int, original: bytes, left: bytes) -> bytes | None:
    """Return the packet that goes on, None for one that doesn't.

    XDP: PASS and TX as the program left it; tc: OK, UNSPEC and PIPE likewise; cgroup_skb: 1 and 3 as it came (such
    programs can't write); a socket filter's retval is how many bytes go on. Redirected packets leave for elsewhere.
    """
    if type_ is ProgramType.SOCKET_FILTER:
        return original[:retval] if retval else None
    if verdict(type_, retval) not in _SURVIVORS[type_]:
        return None
    return left if type_ in REWRITERS else original
