"""On ARM64 a run's epoch is seen before the run looks anything up: every way in has a barrier of its own.

Python's locks are none there, and neither is an exchange: its store may be overtaken by the loads behind it.
"""

from __future__ import annotations

from importlib import resources

import pytest

from ebpf.codegen.compiler import GENERIC_TARGETS, Tier, available
from ebpf.codegen.image import check_image
from ebpf.vm.jit.compiled import compile_program
from ebpf.vm.native import LAYOUT
from tests.unit.vm.bench import bench
from tests.unit.vm.jit.alike import make_maps

DMB_ISH = (0xD5033BBF).to_bytes(4, "little")
LOOKUP = """
    *(u32 *)(r10 - 4) = 0
    r1 = map[hash] ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem
    r0 = 0
    exit
"""


def has_barrier(code: bytes) -> bool:
    return any(code[at : at + 4] == DMB_ISH for at in range(0, len(code), 4))


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize("text", [LOOKUP, "call bpf_ktime_get_ns; exit"])
def test_compiled_code(text: str, tier: Tier) -> None:
    if (missing := available()) is not None:
        pytest.skip(missing)
    program = bench(**make_maps()).load(text)
    assert has_barrier(compile_program(program, tier=tier, target=GENERIC_TARGETS["aarch64"]).code)


def test_the_interpreter_and_lanes() -> None:
    content = resources.files("ebpf.codegen").joinpath("images/interp-aarch64.bin").read_bytes()
    header, code = check_image(content, "interp-aarch64", LAYOUT)
    ends = sorted((*header.entries.values(), len(code)))
    own = {name: code[at : ends[ends.index(at) + 1]] for name, at in header.entries.items()}
    assert has_barrier(own["ebpf_run"])
    repeat, rest = own["ebpf_repeat"].split(DMB_ISH, 1)  # runs that follow each other; behind it what all lanes call
    assert repeat
    assert has_barrier(rest)
