"""What compiling leaves behind: no cycles, which would hold the program and its maps until the collector runs."""

from __future__ import annotations

import gc
from weakref import ref

import pytest

from ebpf.abi.types import ProgramType
from ebpf.vm.jit.module import ModuleCompiler
from tests.unit.vm.bench import bench
from tests.unit.vm.jit.alike import make_maps

LOOKUP = """
    r1 = map[array] ll; r2 = r10; r2 += -4; r0 = 0; *(u32 *)(r10 - 4) = r0
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u32 *)(r0 + 0)
out: r0 = 1; exit
"""
LOOP = "r2 = r10; r2 += -64; r1 = 0\nagain: r3 = *(u64 *)(r2 + 0); r2 += 8; r1 += 1\nif r1 < 8 goto again\nexit"
CALL = "call work; exit\nwork: r1 = r10; *(u64 *)(r1 - 8) = 1; call bpf_ktime_get_ns; exit"
PACKET = """
    r6 = r1; r7 = *(u32 *)(r1 + 0); r8 = *(u32 *)(r1 + 4); r0 = r7; r0 += 14
    if r0 > r8 goto out
    r1 = *(u8 *)(r7 + 0)
    r1 = r6; r2 = 0; call bpf_xdp_adjust_head
out: r0 = 2; exit
"""


@pytest.mark.parametrize("text", [LOOKUP, LOOP, CALL, PACKET], ids=["look-up", "loop", "call", "packet"])
def test_the_writer_goes_when_it_has_written(text: str) -> None:
    program = bench(**make_maps()).load(text, ProgramType.XDP)
    gc.disable()
    try:
        compiler = ModuleCompiler(program)
        assert "@f0" in compiler.compile()
        gone = ref(compiler)
        del compiler
        assert gone() is None
    finally:
        gc.enable()
