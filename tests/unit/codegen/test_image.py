"""Images of the support library: what is refused before a byte is executable, W^X, and that they can be rebuilt."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from ebpf.codegen import image
from ebpf.codegen.image import SIZE, Header, ImageError, check_image, checksum
from ebpf.vm.native import LAYOUT

ROOT = Path(__file__).resolve().parents[3]
IMAGES = {
    file.name: file.read_bytes()
    for file in resources.files("ebpf.codegen").joinpath("images").iterdir()
    if file.name.endswith(".bin")
}
TARGETS = ["aarch64", "x86_64-sysv", "x86_64-win64"]
NAME = "interp-x86_64-sysv"
GOOD = IMAGES[f"{NAME}.bin"]


def test_there_is_one_for_each_target() -> None:
    assert sorted(IMAGES) == [f"interp-{target}.bin" for target in TARGETS]
    for name, content in IMAGES.items():
        header, code = check_image(content, name.removesuffix(".bin"), LAYOUT)
        assert len(content) <= 50_000
        assert len(set(header.entries.values())) == len(header.entries)
        assert all(0 <= offset < len(code) for offset in header.entries.values())


def test_no_path_of_the_machine_that_built_it() -> None:
    for content in (*IMAGES.values(), image.read_support()):
        assert not re.search(rb"/(home|work|root|tmp|usr)", content)


def resealed(content: bytes, **changes: object) -> bytes:
    return Header.unpack(content)._replace(**changes).pack() + content[SIZE:]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "this is no image"),
        (GOOD[: SIZE - 1], "this is no image"),
        (b"\x7fELF" + GOOD[4:], "this is no image"),
        (GOOD[:-1], "is damaged"),
        (GOOD + b"\0", "is damaged"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "is damaged"),
        (GOOD[: SIZE + 100] + b"\xcc" + GOOD[SIZE + 101 :], "is damaged"),
        (IMAGES["interp-aarch64.bin"], "is for aarch64"),
        (resealed(GOOD, layout=(LAYOUT[0] + 1, *LAYOUT[1:])), "of another version"),
        (resealed(GOOD, layout=(*LAYOUT[:-1], 9)), "of another version"),
    ],
)
def test_what_does_not_fit_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ImageError, match=why) as caught:
        check_image(content, NAME, LAYOUT)
    assert not caught.value.refused


def test_checksum_is_of_the_code() -> None:
    header = Header.unpack(GOOD)
    assert header.checksum == checksum(GOOD[SIZE:])
    assert Header.unpack(header.pack()) == header


@pytest.mark.parametrize(
    ("system", "processor"), [("darwin", "arm64"), ("linux", "riscv64"), ("win32", "other"), ("linux", "i686")]
)
def test_no_image_for_this_platform(monkeypatch: pytest.MonkeyPatch, system: str, processor: str) -> None:
    monkeypatch.setattr(image.sys, "platform", system)
    monkeypatch.setattr(image, "processor", lambda: processor)
    with pytest.raises(ImageError, match=f"no native code for {system} on {processor}"):
        image.target_of_process()


@pytest.mark.parametrize("name", ["cpython", "pypy"])
def test_only_beside_cpython(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(image.sys, "platform", "linux")
    monkeypatch.setattr(image, "processor", lambda: "aarch64")
    monkeypatch.setattr(image.sys.implementation, "name", name)
    if name == "cpython":
        assert image.target_of_process() == "aarch64"
        return
    with pytest.raises(ImageError, match="beside CPython only, not pypy"):
        image.target_of_process()


def test_missing_file() -> None:
    with pytest.raises(ImageError, match="missing from this installation"):
        image.read_image("interp-vax", LAYOUT)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_code_is_never_writable() -> None:
    address = image.map_code(GOOD[SIZE:])
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(bound, 16) for bound in line.split()[0].split("-"))
        if first <= address < last:
            assert line.split()[1] == "r-xp"
            break
    else:
        pytest.fail("the mapping is not there")
    assert ctypes.string_at(address, 64) == GOOD[SIZE : SIZE + 64]


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp-like refusal is made with PR_SET_MDWE")
def test_refusal_of_the_system_is_told_and_auto_goes_on() -> None:
    # PR_SET_MDWE (Linux 6.3) is what hardened services have: memory that was writable never becomes executable.
    code = (
        "import ctypes, logging, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "logging.basicConfig(format='%(levelname)s %(message)s')\n"
        "from ebpf.vm.engines import choose_engine\n"
        "print([choose_engine().name, choose_engine().reason])\n"
        "try: choose_engine('interpreter')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if result.returncode == 77:
        pytest.skip("needs Linux 6.3")
    first, second = result.stdout.splitlines()
    assert first == "['reference', 'the system refuses executable memory (EACCES)']"
    assert second.startswith(
        "NotSupportedError engine 'interpreter' is not supported on the embedded runtime; the system"
    )
    assert result.stderr.count("WARNING") == 1


def test_read_only_memory_has_an_address() -> None:
    for data in (b"abcdef", bytearray(b"abcdef"), memoryview(bytearray(b"abcdef")).toreadonly()):
        part = memoryview(data)[2:5]
        assert ctypes.string_at(image.address_of(part), 3) == b"cde"
    assert image.address_of(memoryview(b"")) == 0


def test_rebuilding_gives_the_same_images() -> None:
    build = [sys.executable, str(ROOT / "support" / "build.py"), "--check"]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    if "needed, found" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("unchanged") == len(TARGETS) + 1
