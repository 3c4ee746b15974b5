"""Every example runs and prints something, on each runtime that this user may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.privilege import missing_bpf_privilege

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("runtime", ["embedded", "linux"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, runtime: str, tmp_path: Path) -> None:
    missing = missing_bpf_privilege() if runtime == "linux" else None
    if missing is not None:
        pytest.skip(missing)
    environment = os.environ | {"EBPF_RUNTIME": runtime}

    ran = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    assert not ran.stderr


def test_there_are_examples() -> None:
    assert EXAMPLES
