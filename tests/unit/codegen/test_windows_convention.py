"""The image for Windows runs lanes and builtins in this process, through thunks: what differs is only the system."""

from __future__ import annotations

import ctypes
import itertools
import platform
import shutil
import subprocess
import sys
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ebpf.codegen.image import PYTHON, SIZE, Header, Image, map_code
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.vm import batch, function, interpreter, lane, native
from tests.unit.codegen.test_image import IMAGES
from tests.unit.embedded_programs import kernel, load

CLANG = shutil.which("clang-19")
PARSER = "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nr3 = 1\n*(u8 *)(r2 + 1) = r3\nexit"


class ForeignImage(Image):
    """An image whose entries are called through thunks."""

    def __init__(self, header: Header, address: int, thunks: ctypes.CDLL) -> None:
        self._thunks = thunks
        super().__init__(header, address)
        call = thunks.call3
        call.restype, call.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 4
        self.decode = lambda *arguments: call(self.addresses["ebpf_decode"], *arguments)

    def calls(self, name: str) -> Any:
        call = self._thunks.call1
        call.restype, call.argtypes = ctypes.c_uint64, [ctypes.c_uint64, ctypes.c_void_p]
        enter = lambda pointer: call(self.addresses[name], pointer)  # noqa: E731 - one line, used twice
        return enter, enter


@pytest.fixture(scope="module")
def thunks(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if CLANG is None or sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("needs clang-19 on Linux on x86-64")
    library = tmp_path_factory.mktemp("convention") / "convention.so"
    source = Path(__file__).with_name("convention.c")
    subprocess.run([CLANG, "-O1", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def foreign(thunks: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the image for Windows the one that this process uses."""
    thunks.fill()
    content = IMAGES["interp-x86_64-win64.bin"]
    header, code = Header.unpack(content), bytearray(content[SIZE:])
    at = header.entries["ebpf_python"]
    table = ctypes.addressof((ctypes.c_void_p * len(PYTHON)).in_dll(thunks, "table"))
    code[at : at + 8] = table.to_bytes(8, "little")
    image = ForeignImage(header, map_code(bytes(code)), thunks)
    ctypes.c_void_p.in_dll(thunks, "function").value = image.addresses["ebpf_function"]
    builtin = ctypes.cast(thunks.builtin, ctypes.c_void_p).value
    assert builtin is not None
    for module in (native, interpreter, lane):
        monkeypatch.setattr(module, "load_interpreter", lambda: image)
    for module in (lane, batch):
        monkeypatch.setattr(module, "lane_calls", image.calls)
    monkeypatch.setattr(function, "load_interpreter", lambda: SimpleNamespace(addresses={"ebpf_function": builtin}))
    monkeypatch.setattr(interpreter, "_spare", [])


@pytest.mark.usefixtures("foreign")
def test_lanes_and_builtins() -> None:
    packets = [bytes([n]) * (20 + n) for n in range(50)]
    with kernel() as runtime:
        facts = load(runtime, PARSER)
        runner = runtime.runner(facts, engine="interpreter")
        done = runner.run_many(gather(packets))
        assert done.retvals == array("I", range(50))
        assert [bytes(packet) for packet in done.packets] == [p[:1] + b"\x01" + p[2:] for p in packets]
        assert runner.run(bytes(64), repeat=1000).retval == 0
        call = runner.function()
        for n in itertools.chain(range(50), range(50)):
            buffer = bytearray([n]) * 64
            assert (call(buffer), buffer[1]) == (n, 1)
        with pytest.raises(BufferError, match="read-only"):
            call(bytes(64))
        with pytest.raises(TypeError, match="got int"):
            call(5)
        facts.handle.close()


@pytest.mark.usefixtures("foreign")
def test_python_goes_on() -> None:
    with kernel() as runtime:
        asks, faults = load(runtime, "call 5\nr0 = 7\nexit"), load(runtime, "r0 = *(u8 *)(r10 + 0)\nexit")
        for _ in range(3):
            assert runtime.runner(asks, engine="interpreter").function()(bytearray(64)) == 7
            with pytest.raises(ProgramFault, match=r"has offsets 0\.\.512"):
                runtime.runner(faults, engine="interpreter").function()(bytearray(64))
        for facts in (asks, faults):
            facts.handle.close()
