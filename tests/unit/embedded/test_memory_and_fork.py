"""Mapped arrays, waiting for rings, and what a forked child inherits."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

import pytest

from ebpf.abi.types import Cmd, MapFlag, MapType
from ebpf.errors import ClosedError, SystemCallError
from ebpf.runtime.attrs import MapElem
from ebpf.runtime.embedded.rings import EmbeddedRing
from ebpf.vm.maps.ring import DISCARD
from tests.interrupts import interrupted
from tests.unit.embedded_programs import created, kernel, load, ring_program

PACKET = bytes(64)


def test_memory_is_the_storage() -> None:
    with kernel() as runtime:
        array = created(runtime, MapType.ARRAY, 4, 12, 3, MapFlag.MMAPABLE)
        io = runtime.map_io(array)
        memory = runtime.map_memory(array, size=4096)
        view = memory.view()
        io.update(b"\1\0\0\0", b"value one 12")
        assert view[16:28] == b"value one 12"  # elements lie 16 bytes apart
        view[0:4] = b"zero"
        assert io.lookup(bytes(4))[:4] == b"zero"
        memory.close()
        view[0:4] = b"late"
        assert io.lookup(bytes(4))[:4] == b"late"
        with pytest.raises(ClosedError):
            memory.view()
        array.handle.close()


def test_frozen_and_mapped_exclude_each_other() -> None:
    with kernel() as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1, MapFlag.MMAPABLE)
        with array.handle.borrow() as fd:
            memory = runtime.map_memory(array, size=8)
            view = memory.view()
            for gone in (memory.close, view.release):
                with pytest.raises(SystemCallError, match="EBUSY"):
                    runtime.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=fd))
                gone()
            del view, gone  # a bound method holds its view
            gc.collect()
            runtime.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=fd))
        with pytest.raises(SystemCallError, match="EPERM"):
            runtime.map_memory(array, size=8)
        readable = runtime.map_memory(array, size=8, writable=False)
        assert readable.view().readonly
        readable.close()
        array.handle.close()


@pytest.mark.parametrize(
    ("flags", "size", "errno"),
    [(0, 8, "ENOTSUPP"), (MapFlag.MMAPABLE, 4097, "EINVAL"), (MapFlag.MMAPABLE, 0, "EINVAL")],
)
def test_what_can_not_be_mapped(flags: int, size: int, errno: str) -> None:
    with kernel() as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1, flags)
        with pytest.raises(SystemCallError, match=errno):
            runtime.map_memory(array, size=size)
        array.handle.close()


def test_waiter() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = ring_program(runtime, ring_map)
        ring = runtime.open_ring(ring_map)
        waiter = runtime.waiter([ring], ring_map)
        started = time.monotonic()
        assert waiter.wait(0.05) is False
        assert time.monotonic() - started >= 0.03  # clocks of Windows tick every 16 ms
        runtime.runner(program).run(PACKET)
        assert waiter.wait(5) is True
        ring.set_consumer(ring.producer())
        assert waiter.wait(0) is False
        waiter.wake()
        assert waiter.wait(5) is True
        threading.Timer(0.02, waiter.close).start()
        assert waiter.wait(10) is True
        with pytest.raises(ClosedError):
            waiter.wait(0)
        ring.close()
        ring.close()
        with pytest.raises(ClosedError):
            ring.producer()
        program.handle.close()
        ring_map.handle.close()


def test_a_ring_outlives_its_handle() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        ring = runtime.open_ring(ring_map)
        ring_map.handle.close()
        assert ring.producer() == 0
        ring.close()
        assert runtime.state.memory_used == 0


def test_a_close_that_was_interrupted_is_completed_once() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        obj = runtime.state.handles.map_file(_number(ring_map))[1]
        place, whole = 0, False
        while not whole:
            place += 1
            ring = runtime.open_ring(ring_map)
            assert isinstance(ring, EmbeddedRing)
            whole = bool(interrupted(ring.close, place))
            for _ in range(2):
                ring.close()
            assert (obj.references, ring.ring.readers) == (1, 0)
        ring_map.handle.close()
        assert runtime.state.memory_used == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 warns of fork with threads")
def test_child_has_a_copy() -> None:
    with kernel(cpus=2) as runtime:
        hash_map = created(runtime, MapType.HASH, 4, 8, 4)
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = load(runtime, "r0 = 5\nexit")
        io, ring = runtime.map_io(hash_map), runtime.open_ring(ring_map)
        io.update(b"from", b"parent__")
        # A thread of the parent holds what the child needs.
        release = threading.Event()
        held = threading.Event()

        def hold() -> None:
            obj = runtime.state.handles.map_file(_number(hash_map))[1]

            def on(cpu: int) -> None:
                held.set()
                release.wait(20)

            with obj.map.lock, runtime.state.registry.lock:
                runtime.state.cpus.run(object(), on)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(10)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                io.update(b"from", b"child___")
                same = io.lookup(b"from") == b"child___" and runtime.runner(program).run(PACKET).retval == 5
                try:
                    ring.producer()
                except ClosedError:
                    status = 0 if same else 2
            finally:
                os._exit(status)
        release.set()
        thread.join(10)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert io.lookup(b"from") == b"parent__"
        for thing in (ring, program.handle, hash_map.handle, ring_map.handle):
            thing.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 warns of fork with threads")
def test_child_skips_what_threads_of_the_parent_had_reserved() -> None:
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        ring = runtime.open_ring(facts)
        buffer = ring.ring  # type: ignore[attr-defined]  # of the embedded kernel
        buffer.output(b"before")
        reserved = buffer.reserve(100)
        buffer.output(b"after")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                heads = [int.from_bytes(buffer.data[at : at + 4], "little") for at in (0, 16, 16 + 112)]
                status = 0 if heads == [6, 100 | DISCARD, 5] else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert buffer.data[16 + 3] & 0x80
        buffer.submit(reserved)
        for thing in (ring, facts.handle):
            thing.close()


def _number(facts) -> int:  # type: ignore[no-untyped-def]  # facts of a map
    with facts.handle.borrow() as fd:
        return int(fd)
