"""Mapped code: it runs, is never writable, takes whole pages and no more, and goes away when it is closed."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from ebpf.codegen.executable import Executable
from ebpf.codegen.image import processor

RETURN_42 = {"x86_64": "b82a000000c3", "amd64": "b82a000000c3", "aarch64": "40058052c0035fd6"}
CODE = bytes.fromhex(RETURN_42.get(processor(), ""))
pytestmark = pytest.mark.skipif(not CODE, reason=f"no code for {processor()}")
reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def permissions(address: int) -> str | None:
    """Return what the page at an address allows, None where there is none."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(bound, 16) for bound in line.split()[0].split("-"))
        if first <= address < last:
            return line.split()[1]
    return None


def test_code_runs() -> None:
    with Executable(CODE) as code:
        assert ctypes.CFUNCTYPE(ctypes.c_int)(code.address)() == 42


@reads_proc
def test_never_writable_and_gone_after_close() -> None:
    code = Executable(CODE)
    address = code.address
    assert permissions(address) == "r-xp"
    assert ctypes.string_at(address, len(CODE)) == CODE
    code.close()
    assert permissions(address) is None


def test_closing_again_does_nothing() -> None:
    with Executable(CODE) as code, Executable(CODE) as other:
        code.close()
        code.close()
        assert ctypes.CFUNCTYPE(ctypes.c_int)(other.address)() == 42
    with pytest.raises(ValueError, match="no longer mapped"):
        code.address  # noqa: B018 — the access is what is tested


@pytest.mark.parametrize(("length", "pages"), [(1, 1), (mmap.PAGESIZE, 1), (mmap.PAGESIZE + 1, 2)])
def test_whole_pages(length: int, pages: int) -> None:
    with Executable(bytes(length)) as code:
        assert code.size == pages * mmap.PAGESIZE
        assert code.address % mmap.PAGESIZE == 0
        assert ctypes.string_at(code.address, code.size) == bytes(code.size)


def test_no_code() -> None:
    with pytest.raises(ValueError, match="no code"):
        Executable(b"")


@reads_proc
def test_many_leave_nothing() -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_bytes().count(b"\n")

    Executable(CODE).close()
    before = mappings()
    for _ in range(1000):
        with Executable(CODE):
            pass
    assert mappings() <= before + 2


@pytest.mark.skipif(sys.platform != "linux", reason="refusal is made with PR_SET_MDWE")
def test_refusal_leaves_no_mapping() -> None:
    # PR_SET_MDWE (Linux 6.3): memory that was writable never becomes executable.
    code = (
        "import ctypes, sys\n"
        "from ebpf.codegen.executable import Executable, ImageError\n"
        "from ebpf.codegen import executable\n"
        "executable.system_library()\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "lines = lambda: open('/proc/self/maps').read().count('\\n')\n"
        "before = lines()\n"
        "for _ in range(50):\n"
        "    try: Executable(b'\\xc3')\n"
        "    except ImageError as error: assert error.refused; message = error\n"
        "print(message, lines() - before < 10)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if result.returncode == 77:
        pytest.skip("needs Linux 6.3")
    assert result.stdout == "the system refuses executable memory (EACCES) True\n", result.stderr
