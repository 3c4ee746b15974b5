"""BTF_LOAD (kernel/bpf/btf.c): parse and check type information, with a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.btf import Array, Btf, Datasec, Enum, Enum64, FuncProto, Struct, Type, Union
from ebpf.errors import BtfError
from ebpf.runtime.embedded.buffers import take
from ebpf.runtime.embedded.log import LoadLog
from ebpf.runtime.embedded.objects import BtfObject
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import BtfLoad
    from ebpf.runtime.embedded.state import State

MAX_SIZE = 16 << 20
"""Bytes that the kernel accepts (BTF_MAX_SIZE)."""


def load(state: State, attr: BtfLoad) -> int:
    """BTF_LOAD."""
    if attr.btf_flags:
        raise Rejected(EINVAL, f"btf_flags {attr.btf_flags:#x}: there are no tokens in the embedded kernel")
    if attr.btf_size > MAX_SIZE:
        raise Rejected(E2BIG, f"type information of {attr.btf_size} bytes exceeds {MAX_SIZE}")
    log = LoadLog(attr.btf_log_level, attr.btf_log_size, attr.btf_log_buf)
    raw = take(attr.btf, attr.btf_size, "btf")
    try:
        btf = _parse(raw)
        refusal = None
    except BtfError as error:
        refusal = Rejected(EINVAL, str(error))
        log.add(str(error))
    attr.btf_log_true_size, full = log.finish()
    if full is not None or refusal is not None:
        raise full or refusal  # type: ignore[misc]  # one of them is set
    state.charge(len(raw), "BTF")
    obj = state.registry.add(BtfObject(btf, raw, free=state.refund_object))
    return state.open_new(obj)


def _parse(raw: bytes) -> Btf:
    btf = Btf.parse(raw)
    if btf.byte_order != sys.byteorder:
        raise BtfError(f"byte order is {btf.byte_order}-endian, this machine's is {sys.byteorder}-endian")
    types = list(btf)
    if not types:
        raise BtfError("there are no types")
    for type_ in types:
        _touch(type_)
    return btf


def _touch(type_: Type) -> None:
    """Decode what a type refers to, since types are decoded on demand: ids and names must exist."""
    _ = type_.name
    if isinstance(type_, Struct | Union):
        _ = [(member.name, member.type) for member in type_.members]
    elif isinstance(type_, Enum | Enum64):
        _ = [value.name for value in type_.values]
    elif isinstance(type_, FuncProto):
        _ = [(param.name, param.type) for param in type_.params]
    elif isinstance(type_, Datasec):
        _ = [entry.type for entry in type_.entries]
    elif isinstance(type_, Array):
        _ = type_.index
    target = getattr(type_, "target", None)
    if target is type_:
        raise BtfError(f"type {type_.id} refers to itself")
