"""Files of commands: inputs are read once and no further than needed, outputs are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebpf.cli.files import read_object_or_image, write_whole
from ebpf.errors import ObjectFileError
from tests.command import FIREWALL, ebpf

on_unix = pytest.mark.skipif(sys.platform == "win32", reason="there are no devices, modes and pipes with paths")
OBJECT = Path(FIREWALL).read_bytes()


def test_a_new_file_and_one_that_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["x"]


@on_unix
def test_modes_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    path.write_bytes(b"first")
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, b"second")
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (b"second", 0o640, True)
    fresh = tmp_path / "fresh"
    (tmp_path / "plain").write_bytes(b"")
    write_whole(fresh, b"")
    assert fresh.stat().st_mode == (tmp_path / "plain").stat().st_mode
    write_whole(Path(os.devnull), b"nothing")
    assert Path(os.devnull).is_char_device()


FULL = """
import resource, sys
from pathlib import Path
from ebpf.cli.files import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    write_whole(Path(sys.argv[1]), bytes(2000))
except OSError as error:
    print(error.filename)
"""


@on_unix
def test_what_does_not_fit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"first")
    ran = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"{path}\n", "")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["x"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x"
    with pytest.raises(FileNotFoundError) as found:
        write_whole(path, b"")
    assert found.value.filename == str(path)


@on_unix
def test_a_pipe_is_read_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, OBJECT[:4000])
    os.close(writing)
    assert read_object_or_image(Path(f"/dev/fd/{reading}")) == OBJECT[:4000]
    os.close(reading)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no file without an end")
def test_a_file_without_an_end_is_no_object() -> None:
    for command in ("inspect", "run"):
        ran = ebpf(command, "/dev/zero")
        assert ran.errors == "ebpf: /dev/zero, offset 0x0: not an ELF file: it begins with 00 00 00 00\n"
        assert ran.status == 1


def test_an_object_of_a_size_that_none_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "x.o"
    path.write_bytes(OBJECT)
    assert read_object_or_image(path) == OBJECT
    monkeypatch.setattr("ebpf.cli.files.MOST_BYTES", 1000)
    with pytest.raises(ObjectFileError, match=r"x\.o: it has more than 1000 bytes, which no object file has"):
        read_object_or_image(path)
