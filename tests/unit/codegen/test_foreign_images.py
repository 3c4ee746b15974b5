"""Code of other processors and calling conventions gives the results of the instruction set, too: the interpreter's
images, and programs that were compiled for them.

A small program without Python runs them: for aarch64 under qemu, for the convention of Windows here. Windows itself
and ARM hardware are not tested.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ebpf.codegen.flat import FlatCode
from ebpf.codegen.image import SIZE, Header
from ebpf.vm.conformance import program_of
from ebpf.vm.jit.state import ENTRY
from ebpf.vm.native import Stop
from tests.isa import arithmetic, calls, jumps, memory
from tests.isa.case import Case, program, slot
from tests.unit.codegen.test_image import IMAGES

CLANG, LINKER = shutil.which("clang-19"), shutil.which("ld.lld-19")
TARGETS = {
    "x86_64-sysv": ("x86_64-linux-gnu", [], []),
    "x86_64-win64": ("x86_64-linux-gnu", ["-DENTRY=__attribute__((ms_abi))"], []),
    "aarch64": ("aarch64-linux-gnu", [], ["qemu-aarch64"]),
}
CASES = [case for table in (arithmetic, jumps, memory, calls) for case in table.CASES]
COMPILED = CASES[:: len(CASES) // 150]
"""Compiling takes its time: each kind is among them."""
HOST = {Stop.HELPER, Stop.STEP, Stop.ATOMIC, Stop.RAISED}
"""What ends a case here, because no host answers."""


def built(target: str, directory: Path) -> list[str]:
    """Build the runner; return the command that runs it."""
    triple, flags, emulator = TARGETS[target]
    if CLANG is None or LINKER is None or (emulator and shutil.which(emulator[0]) is None):
        pytest.skip("needs clang-19, lld-19 and, for aarch64, qemu-user")
    runner = directory / "runner"
    source = Path(__file__).with_name("runner.c")
    options = ["-O1", "-ffreestanding", "-fno-stack-protector", "-nostdlib", "-static", "-fuse-ld=lld", *flags]
    subprocess.run([CLANG, f"--target={triple}", *options, str(source), "-o", str(runner)], check=True)
    return [*emulator, str(runner)]


def ask(command: list[str], target: str, cases: list[Case], code: dict[str, FlatCode]) -> list[tuple[int, ...]]:
    """Run cases, those that have native code in it; return (why it stopped, where, r0, address) of each."""
    image = IMAGES[f"interp-{target}.bin"]
    header = Header.unpack(image)
    calls = list(header.entries.values())
    question = struct.pack("<IIII", header.size, header.entries["ebpf_decode"], header.entries["ebpf_run"], len(calls))
    question += struct.pack(f"<{len(calls)}I", *calls) + image[SIZE:]
    for case in cases:
        flat = code.get(case.name, FlatCode(b"", {ENTRY: 0}))
        question += struct.pack("<4I", len(case.code) // 8, len(case.memory), len(flat.code), flat.symbols[ENTRY])
        question += case.code + case.memory + flat.code
    answer = subprocess.run(command, input=question, capture_output=True, check=True, timeout=100)
    return list(struct.iter_unpack("<4Q", answer.stdout))


def check(cases: list[Case], results: list[tuple[int, ...]]) -> None:
    assert len(results) == len(cases)
    wrong: list[Case] = []
    ran = 0
    for case, (stop, _, r0, _) in zip(cases, results, strict=True):
        if stop in HOST:
            continue
        ran += 1
        if (stop, r0) != (Stop.EXIT, case.expected):
            wrong.append(case)
    assert not wrong
    assert ran > 0.9 * len(cases)


@pytest.mark.parametrize("target", TARGETS)
def test_cases(target: str, tmp_path: Path) -> None:
    check(CASES, ask(built(target, tmp_path), target, CASES, {}))


@pytest.mark.parametrize("tier", ["light", "full"])
@pytest.mark.parametrize("target", TARGETS)
def test_compiled_cases(target: str, tier: str, tmp_path: Path) -> None:
    command = built(target, tmp_path)
    pytest.importorskip("llvmlite")
    from ebpf.codegen.compiler import GENERIC_TARGETS, Tier
    from ebpf.vm.jit.compiled import compile_program

    def compiled(code: bytes) -> FlatCode:
        return compile_program(program_of(code), tier=Tier(tier), target=GENERIC_TARGETS[target])

    # The interpreter would return 1.
    control = Case("control", program(slot(0xB7, 0, imm=1)), expected=2)
    code = {case.name: compiled(case.code) for case in COMPILED}
    code[control.name] = compiled(program(slot(0xB7, 0, imm=2)))
    cases = [*COMPILED, control]
    check(cases, ask(command, target, cases, code))
