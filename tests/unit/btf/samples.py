"""A blob with a type of every kind."""

from __future__ import annotations

from typing import Literal

from ebpf.btf import Btf, Builder, FuncLinkage, IntEncoding, VarLinkage


def every_kind(byte_order: Literal["little", "big"] = "little") -> Btf:
    """Build a blob with all 19 kinds; the kernel accepts it."""
    b = Builder()
    u32 = b.add_int("unsigned int", 4)
    char = b.add_int("char", 1, signed=True)
    b.add_int("_Bool", 1, encoding=IntEncoding.BOOL)
    u64 = b.add_int("unsigned long long", 8)
    comm = b.add_array(char, 16)
    color = b.add_enum("color", {"RED": 0, "GREEN": 1, "BLUE": -1})
    b.add_enum64("wide", {"LOW": 0, "HIGH": 1 << 40})
    event = b.add_struct("event", 32, [("pid", u32, 0), ("color", color, 32), ("comm", comm, 64), ("ns", u64, 192)])
    bits = b.add_struct("bits", 4, [("a", u32, 0, 3), ("b", u32, 3, 7)])
    b.add_union("either", 4, [("number", u32, 0), ("bits", bits, 0)])
    b.add_fwd("opaque")
    b.add_fwd("choice", union=True)
    tagged = b.add_type_tag("user", event)
    pointer = b.add_pointer(tagged)
    b.add_const(u32)
    volatile = b.add_volatile(u32)
    b.add_restrict(pointer)
    b.add_typedef("__u32", volatile)
    proto = b.add_func_proto(u32, [("ctx", pointer), ("n", u32)])
    func = b.add_func("handler", proto, linkage=FuncLinkage.GLOBAL)
    count = b.add_var("count", u64, linkage=VarLinkage.GLOBAL)
    limit = b.add_var("limit", u32, linkage=VarLinkage.STATIC)
    b.add_datasec(".data", 12, [(count, 0, 8), (limit, 8, 4)])
    b.add_float("double", 8)
    b.add_decl_tag("hot", func)
    b.add_decl_tag("key", event, component=1)
    return b.build(byte_order)
