"""Which helpers a program may call (kernel/bpf/verifier.c check_helper_call, get_func_proto of the program types)."""

from __future__ import annotations

from ebpf.abi.linux.prototypes import PROTOTYPES, REFUSED
from ebpf.abi.types import ProgramType


def helper_refusal(type_: ProgramType, number: int, gpl_compatible: bool) -> str | None:
    """Return why a program may not call a helper; None if it may."""
    prototype = PROTOTYPES.get(number)
    if prototype is None or not prototype.allowed_for(type_):
        return _refusal(number)
    if prototype.gpl_only and not gpl_compatible:
        return f"cannot call GPL-restricted function from non-GPL compatible program: {_name(number)}"
    return None


def _refusal(number: int) -> str:
    from ebpf.abi.helpers import Helper

    if all(number != helper for helper in Helper.__members__.values()):
        return f"invalid func unknown#{number}"
    reason = f"program of this type cannot use helper {_name(number)}"
    if number in REFUSED:
        return f"{reason}: {REFUSED[number]}"
    return reason if number in PROTOTYPES else f"{reason}: the embedded kernel does not have it"


def _name(number: int) -> str:
    from ebpf.abi.helpers import Helper

    return f"bpf_{Helper(number).name.lower()}#{number}"
