"""Trusted programs that stay inside their regions, by pointers of which the compiler can't be sure.

They run in processes of their own: what is wrong here ends one.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from ebpf.abi.types import ProgramType
from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from ebpf.vm.testrun import TestRequest
from tests.unit.vm.jit.alike import end_of

LOOK_UP = """
    *(u32 *)(r10 - 4) = r7
    r2 = r10; r2 += -4; r1 = map[{}] ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
"""
TWICE = """
        r7 = 0
    again:
        {look_up}
        if r7 != 0 goto second
        {keep}
        *(u64 *)(r0 + 8) = 77
        r7 = 1
        goto again
    second:
        *(u64 *)(r0 + 8) = 88
        {fetch}
        r0 = *(u64 *)(r3 + 8)
        exit
    out:
        r0 = 9
        exit
"""
SPILL = {"keep": "*(u64 *)(r10 - 16) = r0", "fetch": "r3 = *(u64 *)(r10 - 16)"}
PROGRAMS = {
    "spilled element of an array": TWICE.format(look_up=LOOK_UP.format("array"), **SPILL),
    "spilled element of a CPU": TWICE.format(look_up=LOOK_UP.format("cpus"), **SPILL),
    "element kept in a register": TWICE.format(look_up=LOOK_UP.format("array"), keep="r6 = r0", fetch="r3 = r6"),
    "stack of whoever calls back, or its own": """
        *(u64 *)(r10 - 16) = 0
        r1 = 2; r2 = func[f] ll; r3 = r10; r3 += -16; r4 = 0
        call bpf_loop
        r0 = *(u64 *)(r10 - 16)
        exit
    f:
        r6 = r2
        if r1 != 0 goto own
        goto both
    own:
        r6 = r10
        r6 += -8
    both:
        *(u64 *)(r6 + 0) = 77
        r0 = 0
        exit
    """,
}
CHILD = """
import sys
from tests.unit.vm.jit.test_trusted import PROGRAMS, ProgramType, TestRequest, end_of

end = end_of(PROGRAMS[sys.argv[1]], ProgramType.SYSCALL, TestRequest(), engine="jit", tier=sys.argv[2], trusted=True)
print(end.r0, end.fault)
"""


@pytest.mark.parametrize("tier", ["light", "full"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_pointers(name: str, tier: str) -> None:
    try:
        choose_engine("jit")
    except NotSupportedError as error:
        pytest.skip(str(error))
    assert end_of(PROGRAMS[name], ProgramType.SYSCALL, TestRequest(), engine="reference").r0 == 77
    command = [sys.executable, "-c", CHILD, name, tier]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "77 None\n"), done.stderr
