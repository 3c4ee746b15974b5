"""Seed each fault into a copy of the library, run its tests there, and say which test noticed.

Usage: python -m tests.faults [WORD...]   (only the faults whose name holds one of the words)
Exit status 1 if a fault survives, or if the tests fail without any.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.faults.table import FAULTS, Fault

ROOT = Path(__file__).parents[2]
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def run_tests(copy: Path, tests: Iterable[str]) -> str | None:
    """Run tests against the copy; return the first that fails, None if all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not linux", "--no-header"]
    paths = [str(ROOT / "tests" / test) for test in dict.fromkeys(tests)]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *paths], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode == 0:
        return None
    found = _FAILURE.search(done.stdout)
    if done.returncode != 1 or found is None:
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found[1].removeprefix("tests/")


def seed(copy: Path, fault: Fault) -> str:
    """Put the fault into the copy; return the text of the file as it was."""
    path = copy / "ebpf" / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise SystemExit(f"{fault.name}: {fault.file} has {text.count(fault.old)} times, not once: {fault.old!r}")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    return text


def make_copy(copy: Path) -> None:
    """Copy the library; its bytecode is checked by content, since a fault may change nothing but content."""
    shutil.copytree(ROOT / "src" / "ebpf", copy / "ebpf", ignore=shutil.ignore_patterns("__pycache__"))
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(copy, quiet=1, invalidation_mode=mode)
    probe = [sys.executable, "-c", "import ebpf; print(ebpf.__file__)"]
    where = subprocess.run(probe, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True).stdout
    if not where.startswith(str(copy)):
        raise SystemExit(f"tests would import {where.strip()!r}, not the copy in {copy}")


def check(copy: Path, fault: Fault) -> bool:
    """Seed one fault, print what noticed it, and put the file right again."""
    started = time.monotonic()
    text = seed(copy, fault)
    try:
        noticed = run_tests(copy, fault.tests)
    finally:
        (copy / "ebpf" / fault.file).write_text(text, encoding="utf-8")
    print(f"{fault.name:52} {noticed or 'SURVIVES'}  ({time.monotonic() - started:.1f} s)", flush=True)
    return noticed is not None


def main(words: list[str]) -> int:
    """Return the exit status."""
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory(prefix="ebpf-faults-") as directory:
        copy = Path(directory)
        make_copy(copy)
        failing = run_tests(copy, (test for fault in faults for test in fault.tests))
        if failing is not None:
            print(f"without any fault, {failing} fails")
            return 1
        survivors = [fault for fault in faults if not check(copy, fault)]
    print(f"{len(faults) - len(survivors)} of {len(faults)} faults were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
