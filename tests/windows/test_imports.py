"""Every module imports, and the demonstration runs, where the system lacks what Windows and macOS lack.

This shows what the package itself reaches for; a real Windows interpreter is another matter (`make wine`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ebpf as package
from tests.command import FIREWALL, TALK, WATCH
from tests.windows.foreign import LACKING_MODULES, LACKING_NAMES

FOREIGN = Path(__file__).parent / "foreign.py"
ROOT = Path(__file__).parents[2]
SYSTEMS = ["win32", "darwin"]


def on(system: str, statement: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, FOREIGN, system, statement], capture_output=True, text=True)


def ebpf(system: str, *words: str) -> subprocess.CompletedProcess[str]:
    return on(system, f"from ebpf.cli import main; main({list(words)!r})")


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_module_imports(system: str) -> None:
    ran = on(system, "import json; print(json.dumps(import_everything()))")

    assert ran.returncode == 0, ran.stderr
    root = Path(package.__file__).parent
    files = {path.relative_to(root).with_suffix("").parts for path in root.rglob("*.py")}
    expected = {".".join(["ebpf", *(part for part in parts if part != "__init__")]) for parts in files}
    assert set(json.loads(ran.stdout)) == expected - {"ebpf", "ebpf.__main__"}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_disguise_holds(system: str) -> None:
    names = [(module, name) for table in LACKING_NAMES[system] for module, names in table.items() for name in names]
    statement = f"""
import importlib, sys
assert sys.platform == {system!r}
for module, name in {names!r}:
    assert not hasattr(importlib.import_module(module), name), name
for module in {sorted(LACKING_MODULES[system])!r}:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        continue
    raise AssertionError(module)
"""
    ran = on(system, statement)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_demonstration_runs(system: str) -> None:
    ran = ebpf(system, "demo", "--json")

    assert ran.returncode == 0, ran.stderr
    document: Any = json.loads(ran.stdout)
    assert document["verdicts"] == {"firewall": {"PASS": 2129, "DROP": 78}}
    assert document["runtime"] == "embedded"


@pytest.mark.parametrize("system", SYSTEMS)
def test_auto_is_embedded_and_says_why(system: str) -> None:
    ran = ebpf(system, "run", FIREWALL, "--pcap", TALK, "--json")

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.startswith(f"runtime: embedded (bpf() is not supported on the {system} runtime")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("words", [("prog", "list"), ("link", "list"), ("run", WATCH, "--runtime", "linux")])
def test_the_kernel_of_linux_is_refused(system: str, words: tuple[str, ...]) -> None:
    ran = ebpf(system, *words)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("ebpf: ")
    assert ran.stderr.count("\n") == 1
