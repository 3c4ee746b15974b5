"""Pins in memory and in a directory of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.abi.types import Cmd, MapFlag, MapType
from ebpf.errors import SystemCallError
from ebpf.runtime.attrs import MapElem, ObjPin
from tests.unit.embedded_programs import created, kernel


@pytest.fixture(params=["memory", "directory"])
def pin_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "directory" else None


def test_pin_and_get(pin_dir: Path | None) -> None:
    with kernel(pin_dir=pin_dir) as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1)
        runtime.pins.make_directory("/a/b")
        with array.handle.borrow() as fd:
            runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=b"/a/b/c", bpf_fd=fd))
            with pytest.raises(SystemCallError, match="EEXIST"):
                runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=b"/a/b/c", bpf_fd=fd))
            with pytest.raises(SystemCallError, match="ENOENT"):
                runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=b"/x/c", bpf_fd=fd))
        assert runtime.pins.list("/a/b") == ["c"]
        assert runtime.pins.list("/a") == ["b"]
        fd = runtime.bpf(Cmd.OBJ_GET, ObjPin(pathname=b"/a/./b//c", file_flags=MapFlag.RDONLY))
        reader = runtime.own(fd)
        with pytest.raises(SystemCallError, match="EPERM"):
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=bytes(4), value=bytes(8)))
        reader.close()
        with pytest.raises(SystemCallError, match="ENOTEMPTY"):
            runtime.pins.remove("/a")
        runtime.pins.remove("/a/b/c")
        runtime.pins.remove("/a/b")
        assert not runtime.pins.exists("/a/b")
        array.handle.close()


def test_paths_inside_the_directory_are_themselves(tmp_path: Path) -> None:
    with kernel(pin_dir=tmp_path) as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1)
        with array.handle.borrow() as fd:
            runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=str(tmp_path / "m").encode(), bpf_fd=fd))
        assert (tmp_path / "m").is_file()
        assert runtime.pins.exists("/m")
        array.handle.close()


def test_pin_of_another_kernel_is_stale(tmp_path: Path) -> None:
    with kernel(pin_dir=tmp_path) as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1)
        with array.handle.borrow() as fd:
            runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=b"/m", bpf_fd=fd))
        array.handle.close()
        with kernel(pin_dir=tmp_path) as other, pytest.raises(SystemCallError, match=r"ENOENT.*stale"):
            other.bpf(Cmd.OBJ_GET, ObjPin(pathname=b"/m"))
    with kernel(pin_dir=tmp_path) as later:
        with pytest.raises(SystemCallError, match=r"ENOENT.*stale"):
            later.bpf(Cmd.OBJ_GET, ObjPin(pathname=b"/m"))
        later.pins.remove("/m")
        assert later.pins.list("/") == []


def test_a_foreign_file_is_no_pin(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello")
    with kernel(pin_dir=tmp_path) as runtime:
        with pytest.raises(SystemCallError, match="EPERM"):
            runtime.bpf(Cmd.OBJ_GET, ObjPin(pathname=b"/notes"))
        with pytest.raises(SystemCallError, match="EPERM"):
            runtime.pins.remove("/notes")
    assert (tmp_path / "notes").exists()
