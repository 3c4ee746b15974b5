"""What is left of a kernel that was closed says so, whatever it is asked; nothing is opened in it any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import ebpf
from ebpf import CollectionSpec, Instructions, MapFlag, MapSpec, MapType, ProgramSpec, ProgramType, link
from ebpf.abi.types import AttachType, Cmd
from ebpf.errors import ClosedError
from ebpf.objects.pins import pin
from ebpf.runtime.attrs import LinkCreate
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import HandleTable, KernelObject, MapObject, ProgramObject, Registry
from ebpf.runtime.handle import Handle
from tests.interrupts import interrupted
from tests.unit.embedded_programs import created, load

PACKET, KEY, VALUE = bytes(64), bytes(4), bytes(8)
MAPS = {
    "hash": (MapType.HASH, 4, 8, 4, 0),
    "array": (MapType.ARRAY, 4, 8, 4, MapFlag.MMAPABLE),
    "queue": (MapType.QUEUE, 0, 8, 4, 0),
    "ring": (MapType.RINGBUF, 0, 0, 4096, 0),
    "perf": (MapType.PERF_EVENT_ARRAY, 4, 4, 1, 0),
}


class Left:
    """What a program has in its hands when its kernel is closed: `ran` has run, `fresh` has not."""

    def __init__(self) -> None:
        insns = Instructions.from_asm("r0 = 2\nexit")
        spec = CollectionSpec(programs={name: ProgramSpec(name, ProgramType.XDP, insns) for name in ("ran", "fresh")})
        for name, (type_, key_size, value_size, entries, flags) in MAPS.items():
            spec.maps[name] = MapSpec(name, type_, key_size, value_size, entries, flags=flags)
        self.spec = spec
        self.runtime = EmbeddedRuntime()
        self.loaded = spec.load(runtime=self.runtime)
        self.ran, self.fresh = (self.loaded.programs[name] for name in ("ran", "fresh"))
        self.function = self.ran.function()
        self.function(bytearray(PACKET))
        self.ran.run(PACKET)
        self.link = link.xdp(self.ran, 1)
        self.runtime.close()

    def map(self, name: str) -> ebpf.Map:
        return self.loaded.maps[name]


@pytest.fixture
def left() -> Iterator[Left]:
    made = Left()
    yield made
    made.link.close()
    made.loaded.close()


def fed(left: Left) -> None:
    with link.packets(left.ran, [PACKET]) as source:
        source.wait(20)


OPERATIONS: dict[str, Callable[[Left], object]] = {
    "run": lambda left: left.ran.run(PACKET),
    "first run": lambda left: left.fresh.run(PACKET),
    "run repeatedly": lambda left: left.ran.run(PACKET, repeat=2),
    "run many": lambda left: left.ran.run_many([PACKET]),
    "call function": lambda left: left.function(bytearray(PACKET)),
    "make function": lambda left: left.ran.function(),
    "prepare": lambda left: left.fresh.prepare(),
    "engine": lambda left: left.ran.engine,
    "engine reason": lambda left: left.ran.engine_reason,
    "program's info": lambda left: left.ran.info(),
    "feed": fed,
    "look up": lambda left: left.map("hash").io.lookup(KEY),
    "take": lambda left: left.map("hash").io.lookup_and_delete(KEY),
    "update": lambda left: left.map("hash").io.update(KEY, VALUE),
    "delete": lambda left: left.map("hash").io.delete(KEY),
    "next key": lambda left: left.map("hash").io.next_key(None),
    "look up many in a hash": lambda left: left.map("hash").io.lookup_many([KEY]),
    "look up many in an array": lambda left: left.map("array").io.lookup_many([KEY]),
    "update many": lambda left: left.map("hash").io.update_many([(KEY, VALUE)]),
    "walk": lambda left: list(left.map("hash").io.batches()),
    "look into a queue": lambda left: bool(left.map("queue")),
    "map memory": lambda left: left.runtime.map_memory(left.map("array").facts, size=8),
    "read a ring": lambda left: left.runtime.open_ring(left.map("ring").facts),
    "read a perf ring": lambda left: left.runtime.open_ring(left.map("perf").facts, cpu=0),
    "map's info": lambda left: left.map("array").info(),
    "link's info": lambda left: left.link.info(),
    "update link": lambda left: left.link.update(left.fresh),
    "detach": lambda left: left.link.detach(),
    "attach": lambda left: link.xdp(left.ran, 1),
    "load": lambda left: left.spec.load(runtime=left.runtime),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_says_so(left: Left, name: str) -> None:
    with pytest.raises(ClosedError, match="the embedded kernel was closed"):
        OPERATIONS[name](left)


def test_a_call_that_closing_overtakes_opens_nothing() -> None:
    registry = Registry()
    table = HandleTable(registry, limit=1)
    table.close_all()
    with pytest.raises(ClosedError, match="the embedded kernel was closed"):
        table.open(registry.add(KernelObject()))
    assert len(table) == 0


def test_another_close_completes_one_that_was_interrupted() -> None:
    """All that the kernel has goes: what is open, pinned, or held by something else."""
    place, whole = 0, False
    while not whole:
        place += 1
        runtime = EmbeddedRuntime()
        shared = created(runtime, MapType.ARRAY, 4, 8, 1)
        program = load(runtime, "r1 = map_fd[{shared}] ll\nr0 = 2\nexit", shared=shared)
        pin(runtime, program.handle, "/pin")
        attached = runtime.own(runtime.bpf(Cmd.LINK_CREATE, link_of(program.handle)))
        whole = bool(interrupted(runtime.close, place))
        runtime.close()
        for handle in (shared.handle, program.handle, attached):
            handle.close()
        state = runtime.state
        assert (len(state.handles), state.memory_used) == (0, 0), place
        assert not any(state.registry.all(kind) for kind in (MapObject, ProgramObject, LinkObject)), place
    assert place > 20


def link_of(handle: Handle) -> LinkCreate:
    with handle.borrow() as fd:
        return LinkCreate(prog_fd=fd, target_ifindex=1, attach_type=AttachType.XDP)
