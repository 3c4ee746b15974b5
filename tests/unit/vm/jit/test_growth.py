"""Compiled programs leave nothing behind: neither memory of LLVM nor mapped code.

EBPF_GROWTH_PROGRAMS sets how many; the bound is 2 MB for the second half of 5,000.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine

PROGRAMS = int(os.environ.get("EBPF_GROWTH_PROGRAMS", "400"))
CHILD = """
import gc, sys
from ebpf.asm import Instructions
from ebpf.vm.conformance import program_of
from ebpf.vm.engines import choose_engine
from ebpf.vm.machine import Run

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def once(number):
    text = f"r0 = {number}\\nr1 = {number}\\nagain:\\nr0 += 3\\nr1 -= 1\\nif r1 > {number // 2} goto again\\nexit"
    program = program_of(Instructions.from_asm(text).encode())
    engine = choose_engine("jit")
    assert engine.execute(Run(program, None)) == number + 3 * (number - number // 2)

count = int(sys.argv[1])
for number in range(1, count // 2):
    once(number)
before = resident()
for number in range(count // 2, count):
    once(number)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_programs() -> None:
    try:
        choose_engine("jit")
    except NotSupportedError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "EBPF_CACHE": "off"}
    child = [sys.executable, "-c", CHILD, str(PROGRAMS)]
    result = subprocess.run(child, capture_output=True, text=True, env=environment)
    assert (result.stderr, result.returncode) == ("", 0)
    assert int(result.stdout) <= 2 << 20
