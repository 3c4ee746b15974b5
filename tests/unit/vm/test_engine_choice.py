"""Which engine runs, and what says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ebpf.errors import NotSupportedError
from ebpf.vm import engines
from ebpf.vm.engines import VARIABLE, choose_engine


@pytest.fixture
def hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(engines, "_obstacle", lambda: "there is no native code for this")


def test_reference_runs_everywhere(hardened: None) -> None:
    assert (choose_engine().name, choose_engine().reason) == ("reference", "there is no native code for this")
    assert (choose_engine("reference").name, choose_engine("reference").reason) == ("reference", "asked for")


def test_no_silent_fallback(hardened: None) -> None:
    with pytest.raises(
        NotSupportedError, match=r"'interpreter' is not .*there is no native code for this; use 'reference'"
    ):
        choose_engine("interpreter")


def test_unknown_engine() -> None:
    with pytest.raises(NotSupportedError, match=r"engine 'warp' is not .*; use auto or reference or interpreter"):
        choose_engine("warp")


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "reference")
    assert (choose_engine().name, choose_engine().reason) == ("reference", "asked for by EBPF_ENGINE")
    monkeypatch.setenv(VARIABLE, "warp")
    with pytest.raises(NotSupportedError):
        choose_engine()
    assert choose_engine("reference").name == "reference"


@pytest.mark.usefixtures("engine")
def test_engines_load_what_they_need() -> None:
    code = (
        "import sys, json, ebpf.vm.conformance as c\n"
        "before = 'ctypes' in sys.modules\n"
        "c.run_instructions(bytes.fromhex('b7000000070000009500000000000000'))\n"
        "print(json.dumps([before, 'ctypes' in sys.modules, 'llvmlite' in sys.modules]))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    engine = choose_engine().name
    assert json.loads(output) == [False, engine != "reference", engine == "jit"]
