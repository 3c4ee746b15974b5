"""Which helpers a program may call (kernel/bpf/verifier.c check_helper_call, get_func_proto of the program types)."""

from __future__ import annotations

from ebpf.abi.helpers import Helper
from ebpf.abi.linux.prototypes import PROTOTYPES, REFUSED
from ebpf.abi.types import ProgramType

_HELPERS = frozenset(int(helper) for helper in Helper.__members__.values())


def helper_refusal(type_: ProgramType, number: int, gpl_compatible: bool) -> str | None:
    """Return why a program may not call a helper; None if it may."""
    if number not in _HELPERS:
        return f"invalid func unknown#{number}"
    helper = Helper(number)
    name = f"bpf_{helper.name.lower()}#{number}"
    prototype = PROTOTYPES.get(helper)
    if helper in REFUSED:
        return f"program of this type cannot use helper {name}: {REFUSED[helper]}"
    if prototype is None:
        return f"program of this type cannot use helper {name}: the embedded kernel does not have it"
    if not prototype.allowed_for(type_):
        return f"program of this type cannot use helper {name}"
    if prototype.gpl_only and not gpl_compatible:
        return f"cannot call GPL-restricted function from non-GPL compatible program: {name}"
    return None
