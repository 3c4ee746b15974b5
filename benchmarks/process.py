"""Starts child.py and reads what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks.errors import Missing
from benchmarks.toolchain import HERE


class Facts(NamedTuple):
    """What a child found: see child.py."""

    elapsed_ms: float
    cpu_ms: float
    rss_mb: float | None
    llvmlite: bool


def child(kind: str, path: Path, engine: str, *, repeat: int = 1, cache: Path | None = None) -> Facts:
    """Run child.py; `cache` is where its compiled code is kept. Raises Missing where the engine is not there."""
    command = [sys.executable, "-m", "benchmarks.child", kind, str(path), engine, str(repeat)]
    # As in an installation, where pip has compiled the modules: nobody's cold start compiles Python.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if cache is not None:
        environment["EBPF_CACHE_DIR"] = str(cache)
        environment.pop("EBPF_CACHE", None)
    ran = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"])[-1]
        raise Missing(last.removeprefix("ebpf.errors.NotSupportedError: "))
    return Facts(**json.loads(ran.stdout))
