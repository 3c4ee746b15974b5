"""Ctrl-C wherever Python looks at signals, and batches cancelled in the middle of a run: no record stays reserved."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from struct import pack
from types import FrameType
from typing import Any

import pytest

import ebpf.vm.batch
from ebpf.abi.types import MapType
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner, Waiter
from ebpf.runtime.embedded import rings
from ebpf.runtime.embedded.rings import EmbeddedWaiter
from ebpf.vm.batch import PacketBatch, PacketLane
from ebpf.vm.engines import Engine
from ebpf.vm.interpreter import FIRST_SLICE
from ebpf.vm.maps import Map, RingBufferMap
from ebpf.vm.maps.nativering import NativeRingBufferMap
from ebpf.vm.maps.ring import NO_WAKEUP
from ebpf.vm.maps.storage import WAKEUPS
from tests.unit.embedded_programs import created, kernel, load

pytestmark = pytest.mark.usefixtures("engine")


def wait(name: str) -> str:
    """Code that lets the first slice of a run pass."""
    return f"r9 = {FIRST_SLICE}\n{name}: r9 += -1\nif r9 != 0 goto {name}\n"


def reserve(size: int) -> str:
    return f"r1 = map_fd[{{ring}}] ll\nr2 = {size}\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\n"


SUBMIT = "r1 = r6\nr2 = 0\ncall bpf_ringbuf_submit\n"
DISCARD = "r1 = r7\nr2 = 0\ncall bpf_ringbuf_discard\n"
BEGIN = "r6 = 0\n" + reserve(64) + "r6 = r0\n" + wait("a")
END = "r0 = 2\nout: exit"
TEXTS = {
    "fine": BEGIN + reserve(24) + "r7 = r0\n" + wait("b") + SUBMIT + wait("c") + DISCARD + END,
    "faults": BEGIN + "r1 = *(u64 *)(r6 + 60)\n" + END,
    "submits last": BEGIN + SUBMIT + END,
    "leaks": BEGIN + wait("b") + END,
}
PACKET = bytes(64)
WAYS: dict[str, Callable[[Runner], object]] = {
    "once": lambda runner: runner.run(PACKET),
    "with a context": lambda runner: runner.run(PACKET, ctx=pack("<6I", 0, len(PACKET), 0, 0, 0, 0)),
    "repeated": lambda runner: runner.run(PACKET, repeat=2),
    "in a batch": lambda runner: runner.run_many(gather([PACKET] * 2)),
    "as a function": lambda runner: runner.function()(bytearray(PACKET)),
}


@pytest.fixture
def made(request: pytest.FixtureRequest, engine: Engine) -> Iterator[tuple[Runner, RingBufferMap]]:
    """The runner of a program, and its ring."""
    if engine.code is None:
        pytest.skip("needs an engine of native code")
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = load(runtime, request.param, ring=facts)
        with facts.handle.borrow() as fd:
            ring: Map = runtime.state.handles.map_file(fd)[1].map
        assert isinstance(ring, RingBufferMap)
        yield runtime.runner(program), ring
        program.handle.close()
        facts.handle.close()


def read_all(ring: RingBufferMap) -> None:
    """Read the ring to its end: no record stays busy."""
    while ring.consumer() < ring.producer():
        at = ring.consumer() % ring.size
        header = int.from_bytes(ring.data[at : at + 4], "little")
        assert not header >> 31
        ring.set_consumer(ring.consumer() + ((header & 0x3FFFFFFF) + 15) // 8 * 8)


def interrupted(work: Callable[[], object], place: int) -> str:
    """Work with a Ctrl-C at one of the places where Python looks at signals; return where, "" if there are fewer.

    The work is done once before: what an interrupt leaves to do adds places, and would hide the last ones.
    """
    where = ""
    with suppress(ProgramFault):
        work()

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal place, where
        if event in ("call", "c_return") and frame.f_globals["__name__"].startswith("ebpf.vm."):
            place -= 1
            if place == 0:
                where = f"{event} at {frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        work()
    except (KeyboardInterrupt, ProgramFault):
        pass
    finally:
        sys.setprofile(None)
    return where


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one hits a generator that ends
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", TEXTS.values(), ids=TEXTS.keys(), indirect=True)
def test_ctrl_c_leaves_no_record(made: tuple[Runner, RingBufferMap], way: str) -> None:
    runner, ring = made
    place, where = 0, "nowhere"
    while where:
        place += 1
        where = interrupted(lambda: WAYS[way](runner), place)
        read_all(ring)
    assert place > 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", [TEXTS["fine"], TEXTS["submits last"]], ids=["fine", "submits last"], indirect=True)
def test_ctrl_c_leaves_no_reader_asleep(made: tuple[Runner, RingBufferMap], way: str) -> None:
    runner, ring = made
    woken: list[bool] = []
    ring.listeners.append(lambda: woken.append(True))

    def read_and_run() -> None:
        read_all(ring)
        woken.clear()
        WAYS[way](runner)

    place, where = 0, "nowhere"
    while where:
        place += 1
        where = interrupted(read_and_run, place)
        assert woken or ring.wakeup_is_due or not ring.ready(), where


def cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have batches cancelled when they begin: native code notices after its first slice."""
    take = PacketLane._take

    def cancelled(lane: PacketLane, batch: PacketBatch, first: int, last: int) -> None:
        take(lane, batch, first, last)
        batch.cancelled = True

    monkeypatch.setattr(ebpf.vm.batch, "LONG_SLICE", FIRST_SLICE)
    monkeypatch.setattr(PacketLane, "_take", cancelled)


@pytest.mark.parametrize("made", [TEXTS["fine"]], indirect=True)
def test_a_cancelled_batch_leaves_no_record(
    made: tuple[Runner, RingBufferMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, ring = made
    with monkeypatch.context() as patch:
        cancel(patch)
        runner.run_many(gather([PACKET] * 2))
    assert ring.producer() > 0
    read_all(ring)
    assert list(runner.run_many(gather([PACKET] * 2)).retvals) == [2, 2]


@pytest.mark.parametrize("made", [wait("a") + "r0 = r10\nr0 >>= 32\nexit"], indirect=True)
def test_the_batch_after_it_begins_afresh(made: tuple[Runner, RingBufferMap], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program returns the number of its frame: one that was left open would have taken that."""
    runner, _ = made
    expected = runner.run(PACKET).retval
    with monkeypatch.context() as patch:
        cancel(patch)
        runner.run_many(gather([PACKET] * 2))
    assert list(runner.run_many(gather([PACKET] * 2)).retvals) == [expected] * 2


def asleep(waiter: Waiter, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set whenever a wait has looked and found nothing: it sees no record that comes now."""
    assert isinstance(waiter, EmbeddedWaiter)
    waits, wait_until = threading.Event(), waiter._wait_until

    def tell(*until: Any) -> bool:
        waits.set()
        return wait_until(*until)

    monkeypatch.setattr(waiter, "_wait_until", tell)
    return waits


def test_a_reader_wakes_that_should_have_been_woken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after Ctrl-C between native code, which can't wake it, and Python, which did not come to it."""
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        with facts.handle.borrow() as fd:
            ring = runtime.state.handles.map_file(fd)[1].map
        reader = runtime.open_ring(facts)
        waiter = runtime.waiter([reader], facts)
        if not isinstance(ring, NativeRingBufferMap):
            pytest.skip("needs rings that native code writes to")
        results, waits = list[bool](), asleep(waiter, monkeypatch)
        thread = threading.Thread(target=lambda: results.append(waiter.wait(60)))
        thread.start()
        assert waits.wait(20)
        ring.output(memoryview(b"record"), NO_WAKEUP)
        thread.join(0.3)
        assert thread.is_alive()  # nobody is to be woken for that
        ring.native.words[WAKEUPS] += 1
        thread.join()
        read_all(ring)
        waits.clear()
        waiter._woken = False  # type: ignore[attr-defined]
        again = threading.Thread(target=lambda: results.append(waiter.wait(60)))
        again.start()
        assert waits.wait(20)
        waiter._woken = True  # type: ignore[attr-defined]  # as after Ctrl-C in wake(), before the bell rings
        again.join()
        waiter.close()
        reader.close()
        facts.handle.close()
    assert results == [True, True]


def test_who_notifies_while_patience_ends_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "_PATIENCE", 0.0005)
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        with facts.handle.borrow() as fd:
            ring = runtime.state.handles.map_file(fd)[1].map
        assert isinstance(ring, RingBufferMap)
        reader = runtime.open_ring(facts)
        waiter = runtime.waiter([reader], facts)
        for round_ in range(500):
            heard: list[bool] = []
            thread = threading.Thread(target=lambda heard=heard: heard.append(waiter.wait(2)))
            thread.start()
            time.sleep(0.0005 * (round_ % 7) / 3)
            ring.output(b"a record")
            thread.join()
            assert heard == [True]
            ring.set_consumer(ring.producer())
        waiter.close()
        reader.close()
        facts.handle.close()
