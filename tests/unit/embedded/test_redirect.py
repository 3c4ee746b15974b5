"""Redirects in native code: the result says where the packet went, whoever was asked last, Python or native code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ebpf.abi.helpers import Helper
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.attrs import MapElem
from ebpf.runtime.base import Runner
from ebpf.runtime.facts import Redirect
from ebpf.vm.engines import Engine
from ebpf.vm.maps.storage import VARIABLE
from tests.unit.embedded_programs import created, kernel, load

pytestmark = pytest.mark.usefixtures("engine")

PACKET = bytes(64)
AWAY = "r1 = {index} ll\nr2 = {flags} ll\ncall bpf_redirect\nexit"
XDP, TC = ProgramType.XDP, ProgramType.SCHED_CLS
FIRST_HALF = """
    *(u32 *)(r10 - 4) = 0
    r1 = map_fd[{counts}] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto pass
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    if r1 > 5 goto pass
    r2 = 0
    call bpf_redirect
    exit
pass:
    r0 = 4
    exit
"""
"""Sends the first five packets to interfaces 1 to 5; of the others it says so."""
TO_INTERFACE = "r1 = 3\nr2 = 0\ncall bpf_redirect\n"
TO_MAP = "r1 = map_fd[{targets}] ll\nr2 = %d\nr3 = 0\ncall bpf_redirect_map\n"
TO_NOBODY = TO_MAP % 1
END = "r0 = 4\nexit"


@pytest.mark.parametrize("repeat", [1, 20])
@pytest.mark.parametrize(
    ("type_", "index", "flags", "retval", "where"),
    [
        (XDP, 7, 0, 4, (7, 0)),
        (XDP, 7 << 32 | 9, 0, 4, (9, 0)),
        (XDP, 7, 1, 0, None),
        (XDP, 7, 1 << 63, 0, None),
        (TC, 7, 0, 7, (7, 0)),
        (TC, 7 << 32 | 9, 1, 7, (9, 1)),
        (TC, 7, 2, 2, None),
        (TC, 7, 1 << 63 | 1, 2, None),
    ],
)
def test_where_to(
    type_: ProgramType, index: int, flags: int, retval: int, where: tuple[int, int] | None, repeat: int,
    asked: Counter[int], engine: Engine,
) -> None:  # fmt: skip
    with kernel() as runtime:
        program = load(runtime, AWAY.replace("{index}", str(index)).replace("{flags}", str(flags)), type_)
        runner = runtime.runner(program)
        result = runner.run(PACKET, repeat=repeat)
        assert result.retval == retval
        assert result.redirect == (where and Redirect("redirect", where[0], None, where[1]))
        assert set(runner.run_many(gather([PACKET] * repeat)).retvals) == {retval}
        assert asked == ({Helper.REDIRECT: 2 * repeat} if engine.code is None else {})
        program.handle.close()


@pytest.mark.parametrize(("repeat", "where"), [(1, 1), (5, 5), (6, None), (10, None)])
def test_each_run_decides_anew(repeat: int, where: int | None) -> None:
    with kernel() as runtime:
        counts = created(runtime, MapType.ARRAY, 4, 8, 1)
        program = load(runtime, FIRST_HALF, counts=counts)
        result = runtime.runner(program).run(PACKET, repeat=repeat)
        assert result.redirect == (where and Redirect("redirect", where, None, 0))
        for thing in (program, counts):
            thing.handle.close()


@contextmanager
def with_targets(text: str, type_: MapType = MapType.DEVMAP, number: int = 1) -> Iterator[Runner]:
    """A program whose map has a target at 0 alone."""
    with kernel(cpus=3) as runtime:
        targets = created(runtime, type_, 4, 4, 4)
        with targets.handle.borrow() as fd:
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=bytes(4), value=number.to_bytes(4, "little")))
            for key in (1, 2):
                runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=key.to_bytes(4, "little"), value=b"\1\0\0\0"))
            runtime.bpf(Cmd.MAP_DELETE_ELEM, MapElem(map_fd=fd, key=b"\1\0\0\0"))
            if type_ is not MapType.DEVMAP_HASH:
                runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=b"\2\0\0\0", value=bytes(4)))
        program = load(runtime, text, targets=targets)
        yield runtime.runner(program)
        for thing in (program, targets):
            thing.handle.close()


@pytest.mark.parametrize("type_", [MapType.DEVMAP, MapType.DEVMAP_HASH])
@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize(
    ("text", "where"),
    [
        (TO_INTERFACE + TO_MAP % 0, "map"),
        (TO_MAP % 0 + TO_INTERFACE, "interface"),
        (TO_INTERFACE + TO_NOBODY, None),
        (TO_NOBODY + TO_INTERFACE, "interface"),
        (TO_INTERFACE + TO_MAP % 0 + TO_INTERFACE + TO_NOBODY + TO_INTERFACE, "interface"),
        (TO_INTERFACE + "call bpf_get_current_pid_tgid\n", "interface"),
    ],
)
def test_the_last_one_counts(text: str, where: str | None, repeat: int, type_: MapType) -> None:
    """Python alone knows hash tables of devices."""
    with with_targets(text + END, type_) as runner:
        found = [runner.run(PACKET, repeat=repeat).redirect for _ in range(3)]
        expected = {"map": ("redirect_map", 0), "interface": ("redirect", None)}
        assert [one and (one.helper, one.key) for one in found] == [where and expected[where]] * 3


@pytest.mark.parametrize("type_", [MapType.DEVMAP, MapType.CPUMAP])
@pytest.mark.parametrize(
    ("key", "flags", "devices", "cpus"),
    [
        (0, 0, 4, 4),
        (0, 3, 4, 4),
        (1 << 32, 3, 4, 4),
        (1, 0, 0, 0),
        (1, 2, 2, 2),
        (2, 3, 3, 3),
        (77, 1, 1, 1),
        (0xFFFFFFFF, 2, 2, 2),
        (0, 4, 0, 0),
        (1, 1 << 63 | 2, 0, 0),
        (1, 8, 4, 0),
        (77, 24, 4, 0),
        (1, 16, 0, 0),
    ],
)
def test_through_a_map(
    type_: MapType, key: int, flags: int, devices: int, cpus: int, asked: Counter[int], engine: Engine
) -> None:
    text = f"r1 = map_fd[{{targets}}] ll\nr2 = {key} ll\nr3 = {flags} ll\ncall bpf_redirect_map\nexit"
    verdict = devices if type_ is MapType.DEVMAP else cpus
    with with_targets(text, type_) as runner:
        result = runner.run(PACKET, repeat=3)
        assert result.retval == verdict
        assert (result.redirect and result.redirect[2:]) == ((key & 0xFFFFFFFF, flags) if verdict == 4 else None)
        assert asked == ({Helper.REDIRECT_MAP: 3} if engine.code is None else {})


FIND = "*(u32 *)(r10 - 4) = 0\nr1 = map_fd[{targets}] ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n"


@pytest.mark.parametrize("storage", ["python", "native"])
def test_programs_read_targets_and_no_more(storage: str, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    monkeypatch.setenv(VARIABLE, storage)
    with with_targets(FIND + "if r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\nout: exit", number=77) as runner:
        assert runner.run(PACKET, repeat=2).retval == 77
    for access in ("*(u32 *)(r0 + 0) = 1", "r1 = *(u64 *)(r0 + 0)"):
        with with_targets(FIND + f"if r0 == 0 goto out\n{access}\nout: exit") as runner:
            with pytest.raises(ProgramFault) as fault:
                runner.run(PACKET)
            assert fault.value.kind == "memory"
            assert "value of " in str(fault.value)
