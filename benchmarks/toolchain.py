"""Compiles the sources of programs/ with the pinned clang, once for each state of the sources, below build/."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.errors import Missing

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "programs"
BUILD = HERE.parent / "build" / "benchmarks"
CLANG = "clang-19"
"""The compiler of the native limit and of the bytecode: pinned, so that runs can be compared."""
_BPF = ("-target", "bpfel", "-mcpu=v3", "-O2", "-g", "-fno-jump-tables")
"""v3 is the newest instruction set that every peer executes; no engine here takes jump tables (indirect jumps)."""
_NATIVE = ("-O2", "-shared", "-fPIC")


@cache
def compiler() -> str:
    """Return the pinned clang and its version. Raises Missing."""
    if shutil.which(CLANG) is None:
        raise Missing(f"{CLANG} is not installed")
    output = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout
    return output.splitlines()[0].partition(" (")[0]


def compile_bpf(source: str, target: str) -> Path:
    """Compile programs/SOURCE to an object; `target` is "XDP" or "USER". Raises Missing."""
    flags = (*_BPF, f"-D{target}", f"-fdebug-prefix-map={SOURCES}=.", "-c")
    return _compile(f"{Path(source).stem}-{target.lower()}.o", flags, (source,))


def compile_native(*flags: str) -> Path:
    """Compile all programs, each a file of its own, to one shared library. Raises Missing."""
    sources = tuple(sorted(path.name for path in SOURCES.glob("*.c")))
    return _compile("native.so", (*_NATIVE, *flags), sources)


def _compile(name: str, flags: Sequence[str], sources: Sequence[str]) -> Path:
    output = BUILD / _digest(flags) / name
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as directory:
            made = Path(directory) / name
            subprocess.run([CLANG, *flags, *sources, "-o", str(made)], cwd=SOURCES, check=True)
            os.replace(made, output)  # whole or not at all, whoever else builds
    return output


def _digest(flags: Sequence[str]) -> str:
    """Name what an output depends on: the compiler, its flags, every source."""
    digest = hashlib.sha256("\0".join((compiler(), *flags)).encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
