"""The images of other processors and calling conventions give the results of the instruction set, too.

A small program without Python runs them: for aarch64 under qemu, for the convention of Windows here. Windows itself
and ARM hardware are not tested.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ebpf.codegen.header import SIZE, Header
from ebpf.vm.native import Stop
from tests.isa import arithmetic, calls, jumps, memory
from tests.isa.case import Case
from tests.unit.codegen.test_image import IMAGES

CLANG, LINKER = shutil.which("clang-19"), shutil.which("ld.lld")
TARGETS = {
    "x86_64-sysv": ("x86_64-linux-gnu", [], []),
    "x86_64-win64": ("x86_64-linux-gnu", ["-DENTRY=__attribute__((ms_abi))"], []),
    "aarch64": ("aarch64-linux-gnu", [], ["qemu-aarch64"]),
}
CASES = [case for table in (arithmetic, jumps, memory, calls) for case in table.CASES]
HOST = {Stop.HELPER, Stop.STEP, Stop.ATOMIC}
"""What ends a case here, because no host answers."""


def run_cases(target: str, directory: Path) -> list[tuple[int, int, int, int]]:
    triple, flags, emulator = TARGETS[target]
    if CLANG is None or LINKER is None or (emulator and shutil.which(emulator[0]) is None):
        pytest.skip("needs clang-19, lld and, for aarch64, qemu-user")
    runner = directory / "runner"
    source = Path(__file__).with_name("runner.c")
    options = ["-O1", "-ffreestanding", "-fno-stack-protector", "-nostdlib", "-static", "-fuse-ld=lld", *flags]
    subprocess.run([CLANG, f"--target={triple}", *options, str(source), "-o", str(runner)], check=True)
    image = IMAGES[f"interp-{target}.bin"]
    header = Header.unpack(image)
    question = (
        struct.pack("<III", header.size, header.entries["ebpf_decode"], header.entries["ebpf_run"]) + image[SIZE:]
    )
    for case in CASES:
        question += struct.pack("<II", len(case.code) // 8, len(case.memory)) + case.code + case.memory
    answer = subprocess.run([*emulator, str(runner)], input=question, capture_output=True, check=True, timeout=100)
    return list(struct.iter_unpack("<4Q", answer.stdout))


@pytest.mark.parametrize("target", TARGETS)
def test_cases(target: str, tmp_path: Path) -> None:
    results = run_cases(target, tmp_path)
    assert len(results) == len(CASES)
    wrong: list[Case] = []
    ran = 0
    for case, (stop, _, r0, _) in zip(CASES, results, strict=True):
        if stop in HOST:
            continue
        ran += 1
        if (stop, r0) != (Stop.EXIT, case.expected):
            wrong.append(case)
    assert not wrong
    assert ran > 0.9 * len(CASES)
