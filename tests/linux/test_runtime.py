"""The rest of the Linux runtime: descriptors, mapped memory, pins, old kernels, privileges."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType
from ebpf.btf import Btf
from ebpf.errors import ClosedError, NotSupportedError, SystemCallError
from ebpf.runtime import MapFacts, Runtime, choose
from ebpf.runtime.attrs import ObjPin
from ebpf.runtime.info import map_info
from ebpf.runtime.linux import call, recovery, system
from tests.linux.making import KERNEL, a_map, mounted, u32, u64

PAGE = mmap.PAGESIZE


def test_it_is_a_runtime() -> None:
    assert isinstance(KERNEL, Runtime)
    assert (KERNEL.name, KERNEL.personality, KERNEL.limits, KERNEL.reason) == ("linux", "linux", None, "asked for")


def test_number_zero_is_moved_away() -> None:
    code_ = (
        "import os, ebpf.runtime\n"
        "from ebpf.abi.types import Cmd, MapType\n"
        "from ebpf.runtime.attrs import MapCreate\n"
        "os.close(0)\n"
        "k = ebpf.runtime.linux()\n"
        "fd = k.bpf(Cmd.MAP_CREATE, MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1))\n"
        "assert fd == 0, fd\n"
        "h = k.own(fd)\n"
        "with h.borrow() as number:\n"
        "    assert number >= 3\n"
        "    assert not os.get_inheritable(number)\n"
        "try:\n"
        "    os.fstat(0)\n"
        "except OSError:\n"
        "    h.close()\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code_], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_new_numbers_are_close_on_exec() -> None:
    with a_map() as map_, map_.handle.borrow() as fd:
        assert not os.get_inheritable(fd)


@pytest.fixture
def mappable() -> Iterator[MapFacts]:
    with a_map(MapType.ARRAY, max_entries=4, flags=MapFlag.MMAPABLE) as map_:
        yield map_


def test_values_are_memory(mappable: MapFacts) -> None:
    memory = KERNEL.map_memory(mappable, size=32)
    view = memory.view()
    view[8:16] = u64(7)
    assert KERNEL.map_io(mappable).lookup(u32(1)) == u64(7)
    KERNEL.map_io(mappable).update(u32(3), u64(9))
    assert bytes(view[24:32]) == u64(9)
    memory.close()
    # The mapping lives as long as the view.
    assert bytes(view[24:32]) == u64(9)
    view.release()
    with pytest.raises(ClosedError):
        memory.view()
    memory.close()


def test_read_only_memory(mappable: MapFacts) -> None:
    memory = KERNEL.map_memory(mappable, size=32, writable=False)
    with memory.view() as view:
        assert view.readonly
    memory.close()


def test_a_map_that_is_not_mappable_says_so() -> None:
    with a_map() as map_, pytest.raises(SystemCallError, match="mmap failed with E"):
        KERNEL.map_memory(map_, size=PAGE)


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    with mounted("bpf", tmp_path / "bpffs") as directory:
        yield directory


def test_pins(bpffs: Path) -> None:
    pins = KERNEL.pins
    directory = os.fspath(bpffs / "a" / "b")
    pins.make_directory(directory)
    pins.make_directory(directory)
    assert pins.list(os.fspath(bpffs / "a")) == ["b"]
    path = f"{directory}/m"
    with a_map() as map_, map_.handle.borrow() as fd:
        KERNEL.bpf(Cmd.OBJ_PIN, ObjPin(pathname=os.fsencode(path), bpf_fd=fd))
        identity = map_info(KERNEL, map_.handle).id
    assert pins.exists(path)
    with pytest.raises(SystemCallError, match="unlink failed with ENOTEMPTY"):
        pins.remove(directory)
    again = KERNEL.own(KERNEL.bpf(Cmd.OBJ_GET, ObjPin(pathname=os.fsencode(path))))
    assert map_info(KERNEL, again).id == identity
    again.close()
    pins.remove(path)
    assert not pins.exists(path)
    pins.remove(directory)
    with pytest.raises(SystemCallError, match="unlink failed with ENOENT: no such file or directory: "):
        pins.remove(path)


def test_pins_elsewhere_name_the_remedy(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "m")
    remedy = "not in a BPF filesystem; mount one: mount -t bpf bpf /sys/fs/bpf"
    with pytest.raises(SystemCallError, match=remedy) as caught:
        KERNEL.pins.make_directory(path)
    assert type(caught.value) is SystemCallError
    with a_map() as map_, map_.handle.borrow() as fd, pytest.raises(SystemCallError, match=remedy):
        KERNEL.bpf(Cmd.OBJ_PIN, ObjPin(pathname=os.fsencode(path), bpf_fd=fd))
    (tmp_path / "file").touch()
    with pytest.raises(SystemCallError, match=remedy):
        KERNEL.bpf(Cmd.OBJ_GET, ObjPin(pathname=os.fsencode(tmp_path / "file")))


@pytest.mark.parametrize(("text", "cpus"), [("0\n", [0]), ("0-3\n", [0, 1, 2, 3]), ("0-1,4,6-7\n", [0, 1, 4, 6, 7])])
def test_cpu_lists(text: str, cpus: list[int]) -> None:
    assert system.parse_cpu_list(text) == cpus


def test_the_kernel_s_types_are_read_once() -> None:
    btf = KERNEL.kernel_btf()
    assert isinstance(btf, Btf)
    assert KERNEL.kernel_btf() is btf
    with pytest.raises(NotSupportedError, match="BTF of no_such_module"):
        KERNEL.kernel_btf("no_such_module")


def test_the_trace_is_refused_with_an_alternative() -> None:
    with pytest.raises(NotSupportedError, match="trace_pipe"):
        KERNEL.trace()


# Old kernels, played by the call


def _refusing(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[object]:
    seen: list[object] = []

    def bpf(cmd: Cmd, attr: object) -> int:
        seen.append(attr)
        result: int = answer(cmd, attr)  # type: ignore[operator]  # a function
        return result

    monkeypatch.setattr(call, "bpf", bpf)
    monkeypatch.setattr(recovery, "_known", {})
    return seen


def test_names_are_dropped_where_the_kernel_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(cmd: Cmd, attr: object) -> int:
        return -22 if getattr(attr, "map_name", b"") else os.open(os.devnull, os.O_RDONLY)

    _refusing(monkeypatch, old)
    from ebpf.runtime.attrs import MapCreate

    attr = MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1, map_name=b"named")
    os.close(KERNEL.bpf(Cmd.MAP_CREATE, attr))
    assert attr.map_name == b"named"


def test_a_limit_is_raised_only_where_the_kernel_charges_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from ebpf.runtime.attrs import MapCreate

    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: raised.append(limit))
    attr = MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1)

    def new(cmd: Cmd, attr: object) -> int:
        return os.open(os.devnull, os.O_RDONLY) if cmd == Cmd.PROG_LOAD else -1

    _refusing(monkeypatch, new)
    with pytest.raises(SystemCallError, match="EPERM") as caught:
        KERNEL.bpf(Cmd.MAP_CREATE, attr)
    assert raised == []
    assert "limit" not in str(caught.value)

    def old(cmd: Cmd, attr: object) -> int:
        if cmd == Cmd.PROG_LOAD:
            return -22
        return os.open(os.devnull, os.O_RDONLY) if raised else -1

    _refusing(monkeypatch, old)
    os.close(KERNEL.bpf(Cmd.MAP_CREATE, attr))
    assert len(raised) == 1


_EVERYTHING_OPEN = """
import os, ebpf.runtime
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.runtime import MapFacts
from ebpf.runtime.attrs import MapCreate, ProgLoad, RawTracepointOpen
k = ebpf.runtime.linux()
def facts(kind, **sizes):
    return MapFacts(k.own(k.bpf(Cmd.MAP_CREATE, MapCreate(map_type=kind, **sizes))), kind, *sizes.values())
ring_map = facts(MapType.RINGBUF, key_size=0, value_size=0, max_entries=4096)
table = facts(MapType.HASH, key_size=4, value_size=4, max_entries=4)
ring = k.open_ring(ring_map)
perf_map = facts(MapType.PERF_EVENT_ARRAY, key_size=4, value_size=4, max_entries=k.cpus)
perf = k.open_ring(perf_map, cpu=0)
slot = k.map_io(MapFacts(perf_map.handle, MapType.ARRAY, 4, 4, k.cpus))
waiter = k.waiter([ring, perf], ring_map)
view = ring.data[:8]
insns = bytes.fromhex("b7000000000000009500000000000000")
attr = ProgLoad(prog_type=ProgramType.RAW_TRACEPOINT, insns=insns, insn_cnt=2, license=b"GPL")
program = k.own(k.bpf(Cmd.PROG_LOAD, attr))
with program.borrow() as fd:
    link = k.own(k.bpf(Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=fd)))
io = k.map_io(table)
io.update(bytes(4), bytes(4))
def close_all():
    for thing in (waiter, ring, perf, link, program, table.handle, ring_map.handle, perf_map.handle):
        thing.close()
"""


def _python(text: str) -> subprocess.CompletedProcess[str]:
    options = ["-X", "dev", "-W", "error"]
    return subprocess.run([sys.executable, *options, "-c", text], capture_output=True, text=True, timeout=60)


def test_the_interpreter_exits_with_everything_open() -> None:
    done = _python(_EVERYTHING_OPEN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_forked_child_closes_without_hurting() -> None:
    done = _python(
        _EVERYTHING_OPEN
        + """
pid = os.fork()
if pid == 0:
    close_all()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert io.lookup(bytes(4)) == bytes(4)
assert waiter.wait(0) is False and ring.producer() == 0
from ebpf.runtime.info import link_info
assert link_info(k, link).prog_id
slot.delete(bytes(4))  # raises when the child emptied the slot
close_all()
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_UNPRIVILEGED = """
import os, sys
import ebpf.runtime, ebpf.runtime.linux.kernel, ebpf.runtime.linux.privileges, ebpf.runtime.current
from ebpf.abi.types import Cmd, MapType
from ebpf.runtime.attrs import *
import ebpf.runtime.attrs, ebpf.errors, resource, ctypes, struct
ebpf.runtime.linux().cpus
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
kernel = ebpf.runtime.linux()
try:
    kernel.bpf(Cmd.MAP_CREATE, MapCreate(map_type=11, key_size=8, value_size=4, max_entries=1, map_flags=1))
except ebpf.errors.MissingPrivilegeError as error:
    print(error.capability, error.sysctl, str(error))
try:
    insns = bytes.fromhex("b7000000000000009500000000000000")
    kernel.bpf(Cmd.PROG_LOAD, ProgLoad(prog_type=6, insns=insns, insn_cnt=2, license=b"GPL"))
except ebpf.errors.MissingPrivilegeError as error:
    print(error.capability)
from ebpf.runtime.linux import perf
try:
    perf.open_event(perf.TYPE_SOFTWARE, perf.COUNT_SW_BPF_OUTPUT, cpu=0)
except ebpf.errors.MissingPrivilegeError as error:
    print(error.capability, error.sysctl)
"""


def test_a_missing_privilege_is_explained() -> None:
    done = subprocess.run([sys.executable, "-c", _UNPRIVILEGED], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    first, second, third = done.stdout.splitlines()
    assert first.startswith("CAP_BPF ")
    assert "run as root or give the process CAP_BPF" in first
    assert second == "CAP_BPF, CAP_NET_ADMIN"
    assert third.startswith("CAP_PERFMON kernel.perf_event_paranoid=")


def test_root_is_given_the_kernel() -> None:
    choice = choose()
    assert (choice.runtime.name, choice.reason) == ("linux", "this user may call bpf() in the Linux kernel")
    assert choice.runtime.reason == choice.reason
    assert AttachType.XDP.platform.name == "LINUX"
