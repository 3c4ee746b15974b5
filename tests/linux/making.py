"""Maps and programs for tests of the Linux runtime, made by bpf() alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import ebpf.runtime
from tests.conformance import making
from tests.conformance.making import RETURN_ZERO, code, u32, u64

__all__ = ["KERNEL", "RETURN_ZERO", "a_map", "a_program", "code", "mounted", "u32", "u64"]

KERNEL = ebpf.runtime.linux()

a_map = partial(making.a_map, KERNEL)
a_program = partial(making.a_program, KERNEL)


@contextmanager
def mounted(kind: str, directory: Path) -> Iterator[Path]:
    """Mount a filesystem for the time of a test."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, kind, os.fspath(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", os.fspath(directory)], check=True)
