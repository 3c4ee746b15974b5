"""Every example runs and prints something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    environment = os.environ | {"EBPF_RUNTIME": "embedded"}

    ran = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
    assert not ran.stderr


def test_there_are_examples() -> None:
    assert EXAMPLES
