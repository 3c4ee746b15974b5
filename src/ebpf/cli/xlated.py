"""Instructions as Linux shows those of a loaded program (kernel/bpf/syscall.c `bpf_insn_prepare_dump`), with names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ebpf.abi.helpers import Helper
from ebpf.asm import Insn, Instructions, Reference, ReferenceKind
from ebpf.asm.opcodes import BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, CALL, LDIMM64

_LOW = 0xFFFFFFFF
_BASE = "__bpf_call_base"
_KINDS = {BPF_PSEUDO_MAP_FD: ReferenceKind.MAP, BPF_PSEUDO_MAP_VALUE: ReferenceKind.MAP_VALUE}


def with_names(insns: Instructions, maps: Mapping[int, str]) -> Instructions:
    """Name maps, which stand there by id ({id: name}), and kernel functions, which stand there by distance.

    Functions need a readable /proc/kallsyms; what has no name stays a number.
    """
    functions = _functions({insn.imm for insn in insns if _calls_kernel(insn)})
    return Instructions([_call(insn, functions) if _calls_kernel(insn) else _map(insn, maps) for insn in insns])


def _calls_kernel(insn: Insn) -> bool:
    return insn.opcode == CALL and insn.src == 0


def _map(insn: Insn, maps: Mapping[int, str]) -> Insn:
    name = maps.get(insn.imm & _LOW)
    if insn.opcode != LDIMM64 or insn.src not in _KINDS or name is None:
        return insn
    return insn._replace(imm=insn.imm & ~_LOW, reference=Reference(_KINDS[insn.src], name, insn.imm >> 32))


def _call(insn: Insn, functions: Mapping[int, str]) -> Insn:
    name = functions.get(insn.imm)
    if name is None:
        return insn
    helper = next((helper for helper in Helper if helper.function == name), None)
    if helper is None:
        return insn._replace(reference=Reference(ReferenceKind.KFUNC, name))
    return insn._replace(imm=helper.number)


def _functions(distances: set[int]) -> dict[int, str]:
    """Return the names of the functions at these distances from `__bpf_call_base`."""
    base = next((address for address, name in _symbols() if name == _BASE), 0)
    if base == 0:  # hidden from this user, or another system
        return {}
    return {address - base: name for address, name in _symbols() if address - base in distances}


def _symbols() -> Iterator[tuple[int, str]]:
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as file:
            for line in file:
                address, _, name, *_ = line.split()
                yield int(address, 16), name
    except OSError:
        return
