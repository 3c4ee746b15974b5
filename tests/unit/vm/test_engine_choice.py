"""Which engine runs, and what says so."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from ebpf.codegen import image
from ebpf.codegen.image import ImageError
from ebpf.errors import NotSupportedError
from ebpf.vm import engines, native
from ebpf.vm.engines import VARIABLE, choose_engine
from ebpf.vm.program import NATIVE
from tests.threads import in_threads
from tests.unit.vm.test_engines import load


@pytest.fixture
def hardened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(engines, "_obstacle", lambda: ImageError("there is no native code for this"))


def refuse() -> None:
    raise ImageError("the system refuses executable memory (EACCES)", refused=True)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("ebpf.vm.native.load_interpreter", refuse)
    monkeypatch.setattr(engines, "_warning_is_due", [True])
    caplog.set_level(logging.WARNING, "ebpf")
    engines._obstacle.cache_clear()
    yield
    engines._obstacle.cache_clear()


def test_reference_runs_everywhere(hardened: None) -> None:
    assert (choose_engine().name, choose_engine().reason) == ("reference", "there is no native code for this")
    assert (choose_engine("reference").name, choose_engine("reference").reason) == ("reference", "asked for")


def test_no_silent_fallback(hardened: None) -> None:
    with pytest.raises(
        NotSupportedError, match=r"'interpreter' is not .*there is no native code for this; use 'reference'"
    ):
        choose_engine("interpreter")


def test_unknown_engine() -> None:
    with pytest.raises(
        NotSupportedError, match=r"engine 'warp' is not .*; use auto, reference, interpreter, jit or native"
    ):
        choose_engine("warp")


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "reference")
    assert (choose_engine().name, choose_engine().reason) == ("reference", "asked for by EBPF_ENGINE")
    monkeypatch.setenv(VARIABLE, "warp")
    with pytest.raises(NotSupportedError, match=r"'warp' \(environment variable EBPF_ENGINE\) is not .*; use auto,"):
        choose_engine()
    assert choose_engine("reference").name == "reference"


@pytest.mark.parametrize("name", ["interpreter", "jit", "native"])
def test_environment_asks_for_what_cannot_run(hardened: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(NotSupportedError, match=rf"engine '{name}'.* \(environment variable EBPF_ENGINE\) is not"):
        choose_engine()


def test_the_environment_takes_no_program_from_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "reference")
    program = load("r0 = 1\nexit")
    assert choose_engine(program=program).name == "reference"
    program.compiled[NATIVE] = SimpleNamespace(image="program.native")
    assert choose_engine(program=program).name == NATIVE
    assert choose_engine("reference", program=program).name == "reference"


def test_threads_that_begin_at_once_run_on_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    together, load_image = threading.Barrier(2), image.load_image

    def at_once(name: str, layout: tuple[int, ...]) -> image.Image:
        loaded = load_image(name, layout)
        together.wait(20)
        return loaded

    monkeypatch.setattr(image, "load_image", at_once)
    monkeypatch.setattr(native, "_images", [])
    tables: list[int] = []
    in_threads([lambda: tables.append(native.NativeState().words[native.CALLS])] * 2)
    live = {loaded.table.buffer_info()[0] for loaded in native._images}
    assert len(native._images) == len(tables) == 2
    assert set(tables) <= live
    assert native.load_interpreter() is native._images[0]


def test_threads_that_begin_at_once_warn_once(
    refused: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asking = threading.Barrier(4)
    chosen: list[str] = []

    def refuse_all_at_once() -> None:
        asking.wait(60)
        refuse()

    monkeypatch.setattr("ebpf.vm.native.load_interpreter", refuse_all_at_once)
    threads = [threading.Thread(target=lambda: chosen.append(choose_engine().name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chosen == ["reference"] * 4
    assert [record.message for record in caplog.records] == [
        "the system refuses executable memory (EACCES): programs run on the reference engine, which is slow"
    ]


@pytest.mark.parametrize("name", ["interpreter", "jit"])
def test_no_warning_of_an_engine_that_runs_nothing(refused: None, caplog: pytest.LogCaptureFixture, name: str) -> None:
    with pytest.raises(NotSupportedError, match=r"refuses executable memory \(EACCES\); use 'reference'"):
        choose_engine(name)
    assert not caplog.records
    assert choose_engine().name == "reference"
    assert len(caplog.records) == 1


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
