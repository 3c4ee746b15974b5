"""The fast ways of compiled code are taken: nothing else would notice if they were lost, but the time."""

from __future__ import annotations

import re

import pytest

from ebpf.abi.types import ProgramType
from ebpf.vm.jit.module import ModuleCompiler
from tests.unit.vm.bench import bench
from tests.unit.vm.jit.alike import make_maps

LEAVES = re.compile(r"br i1 %\S+, label %\S+, label %leave\d+")


def ir(text: str, type_: ProgramType = ProgramType.SYSCALL) -> str:
    return ModuleCompiler(bench(**make_maps()).load(text, type_)).compile()


def function(text: str, number: int = 0) -> str:
    return text[text.index(f"@f{number}(") :].split("\n}\n")[0]


def short_form(text: str) -> str:
    """Return the short form of the only loop, which begins with its header and ends before its ways out."""
    _, _, rest = function(text).partition(".fast:\n")
    inside, out, _ = rest.partition("\nout")
    assert out
    return inside


LOOP = """
    r2 = {base}; r2 += {offset}; r0 = 0; {start}
again:
    r3 = *(u64 *)(r2 + 0)
    r0 += r3
    r2 += 8
    {step}
    if {test} goto again
    exit
"""


@pytest.mark.parametrize(
    ("start", "step", "test"),
    [
        ("r1 = 0", "r1 += 1", "r1 < 8"),
        ("r1 = 0", "r1 += 2", "r1 != 16"),
        ("r1 = 0", "r1 += 1", "r1 <= 7"),
        ("r1 = 0", "r1 += 1", "r1 s< 8"),
        ("w1 = 0", "w1 += 1", "w1 < 8"),
        ("w1 = 0", "w1 += 1", "r1 != 8"),
        ("r1 = 0; r4 = 8", "r1 += 1", "r1 < r4"),
    ],
)
def test_counted_loop_has_no_checks_inside(start: str, step: str, test: str) -> None:
    text = ir(LOOP.format(base="r10", offset=-64, start=start, step=step, test=test))
    assert ".fast:" in text
    assert not LEAVES.search(short_form(text))
    assert "ebpf_find" not in text


def test_counter_that_is_a_pointer() -> None:
    text = ir(
        """
        r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4); r0 = 0
    again:
        r4 = *(u8 *)(r2 + 0)
        r0 += r4
        r2 += 1
        if r2 < r3 goto again
        exit
        """,
        ProgramType.XDP,
    )
    assert ".fast:" in text
    assert not LEAVES.search(short_form(text))


@pytest.mark.parametrize(
    ("start", "step", "test"),
    [
        ("w1 = 0", "w1 -= 8; w1 += 9", "w1 < 8"),  # what is in between may be below zero
        ("r1 = 0", "r1 += 0x40000000", "w1 < 8"),
        ("r1 = 0", "r1 *= 3", "r1 < 8"),
        ("r1 = 8", "r1 -= 1", "r1 != 0"),
    ],
)
def test_other_loops_have_no_short_form(start: str, step: str, test: str) -> None:
    assert ".fast:" not in ir(LOOP.format(base="r10", offset=-64, start=start, step=step, test=test))


VERIFIED = """
    r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4); r0 = 0
    r4 = r2; r4 += 20
    if {test} goto out
    {then}
    r0 = *(u32 *)(r2 + {offset})
    *(u8 *)(r2 + 4) = 1
out:
    exit
"""


def checks(text: str) -> int:
    """Count the ways to the interpreter, beside that of the budget at the end."""
    return len(LEAVES.findall(function(text))) - 1


def test_bytes_that_the_program_has_verified_need_no_check() -> None:
    assert checks(ir(VERIFIED.format(test="r4 > r3", then="", offset=16), ProgramType.XDP)) == 0


@pytest.mark.parametrize(
    ("test", "then", "offset"),
    [("r4 > r3", "", 17), ("w4 > w3", "", 0), ("r4 < r3", "", 0), ("r4 > r3", "r2 += r0", 0), ("r4 != r3", "", 0)],
)
def test_other_bytes_need_one(test: str, then: str, offset: int) -> None:
    assert checks(ir(VERIFIED.format(test=test, then=then, offset=offset), ProgramType.XDP)) > 0


def test_packets_that_may_be_read_only_are_checked_before_they_are_written() -> None:
    text = VERIFIED.format(test="r4 > r3", then="", offset=16).replace("r1 + 0", "r1 + 76").replace("r1 + 4", "r1 + 80")
    assert checks(ir(text, ProgramType.SCHED_CLS)) == 0
    assert checks(ir(text, ProgramType.CGROUP_SKB)) == 1


@pytest.mark.parametrize(("name", "helper"), [("array", "array"), ("cpus", "array"), ("hash", "hash")])
def test_look_ups_are_part_of_the_code(name: str, helper: str) -> None:
    text = function(
        ir(
            f"""
            *(u32 *)(r10 - 4) = 1
            r1 = map[{name}] ll; r2 = r10; r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r1 = *(u64 *)(r0 + 0)
            *(u64 *)(r0 + 8) = r1
            r0 = 1
        out:
            exit
            """
        )
    )
    assert f"call i64 @ebpf_{helper}_element(" in text
    # Reading and writing are different permissions.
    assert checks(text) == 2


def test_accesses_through_one_pointer_share_a_check() -> None:
    loads = "; ".join(f"r3 = *(u8 *)(r2 + {at}); r0 += r3" for at in range(8))
    text = f"r2 = *(u32 *)(r1 + 0); r0 = 0; {loads}; exit"
    assert checks(ir(text, ProgramType.XDP)) == 1


def test_packets_are_found_through_a_context_that_was_kept_in_memory() -> None:
    """Compilers keep r1 there where they have no register left."""
    text = "*(u64 *)(r10 - 8) = r1; r3 = *(u64 *)(r10 - 8); r2 = *(u32 *)(r3 + 0); r0 = *(u8 *)(r2 + 5); exit"
    assert "ebpf_find" not in ir(text, ProgramType.XDP)


def test_frames_that_nobody_else_sees_are_no_regions() -> None:
    private = "*(u64 *)(r10 - 8) = 1; r0 = *(u64 *)(r10 - 8); exit"
    seen = "r2 = r10; r2 += r1; r0 = 0; exit"
    assert "%r10 = add i64 512, 0" in ir(private)
    assert "%r10 = add i64 512, 0" not in ir(seen)
