"""What happens around an object while it is used: closing from another thread, fork, interpreter exit."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import ClosedError
from ebpf.objects import ArrayMap, HashMap, Map, RingBuffer
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import collection, constant, counter_collection, hash_map, ring_collection, u32, u64

PACKET = bytes(64)


def hammer(call: Callable[[], object], close: Callable[[], None]) -> None:
    """Call from four threads until each gets ClosedError; any other error fails the test."""
    errors: list[BaseException] = []
    started = threading.Barrier(5)

    def work() -> None:
        started.wait()
        try:
            while True:
                call()
        except ClosedError:
            return
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    time.sleep(0.02)
    close()
    for thread in threads:
        thread.join(20)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)


def test_closing_a_map_in_use_never_hits_another_map(runtime: Runtime) -> None:
    for _ in range(5):
        used = Map.create(hash_map(), runtime=runtime)
        assert isinstance(used, HashMap)
        used[u32(1)] = u64(1)
        others: list[Map] = []

        def close_and_reuse(used: Map = used, others: list[Map] = others) -> None:
            used.close()
            # These would get the freed number; a writer that still used it would fill them.
            others.extend(Map.create(hash_map(name="other"), runtime=runtime) for _ in range(3))

        def write(used: HashMap = used) -> None:
            used[u32(1)] = u64(2)
            assert used.get(u32(1)) == u64(2)

        hammer(write, close_and_reuse)
        assert all(len(other) == 0 for other in others if isinstance(other, HashMap))
        for other in others:
            other.close()


def test_closing_a_map_during_walks(runtime: Runtime) -> None:
    used = Map.create(hash_map(max_entries=500), runtime=runtime)
    assert isinstance(used, HashMap)
    used.update({u32(n): u64(n) for n in range(500)})
    hammer(lambda: sum(1 for _ in used.items()), used.close)


def test_closing_a_program_in_use(runtime: Runtime) -> None:
    loaded = counter_collection().load(runtime=runtime)
    hammer(lambda: loaded.programs["program"].run(PACKET), loaded.programs["program"].close)
    loaded.close()


def test_closing_a_reader_in_use(runtime: Runtime) -> None:
    with ring_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, RingBuffer)
        for timeout in (None, 0.001):
            reader = events.reader()

            def read(reader=reader, timeout=timeout) -> None:  # type: ignore[no-untyped-def]  # bound by the loop
                try:
                    reader.read(timeout)
                except TimeoutError:
                    return

            loaded.programs["program"].run(PACKET, repeat=50)
            hammer(read, reader.close)


def test_batches_and_reads_share_a_reader(runtime: Runtime) -> None:
    with ring_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, RingBuffer)
        reader = events.reader()
        seen: list[int] = []

        def one() -> None:
            seen.extend(1 for _ in reader)

        def many() -> None:
            try:
                while True:
                    seen.append(len(reader.read_batch()))
            except ClosedError:
                return

        threads = [threading.Thread(target=target) for target in (one, many, one)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            loaded.programs["program"].run(PACKET, repeat=20)
            time.sleep(0.002)
        deadline = time.monotonic() + 10
        while sum(seen) < 600 and time.monotonic() < deadline:
            time.sleep(0.01)
        reader.close()
        for thread in threads:
            thread.join(10)
        assert sum(seen) == 600


def test_threads_run_one_program(runtime: Runtime) -> None:
    with counter_collection().load(runtime=runtime) as loaded:
        run = loaded.programs["program"].run
        threads = [threading.Thread(target=lambda: [run(PACKET) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loaded.maps["counter"].lookup(0) == u64(200)


def test_views_of_memory_outlive_everything(runtime: Runtime) -> None:
    with collection(MapSpec("slots", MapType.ARRAY, 4, 8, 4, flags=MapFlag.MMAPABLE), constant(2)).load(
        runtime=runtime
    ) as loaded:
        slots = loaded.maps["slots"]
        assert isinstance(slots, ArrayMap)
        slots[2] = u64(9)
        view, other = slots.memory(), slots.memory()[16:24]
    assert view[16:24] == other == u64(9)
    other[0] = 1
    assert view[16] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX systems only")
def test_a_forked_child_reads_no_rings_and_hangs_nowhere(runtime: Runtime) -> None:
    with ring_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, RingBuffer)
        reader = events.reader()
        loaded.programs["program"].run(PACKET, repeat=3)
        thread = threading.Thread(target=lambda: list(reader))
        thread.start()
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                reader.read(1)
            except ClosedError:
                code = 0
            try:
                reader.close()
                loaded.programs["program"].run(PACKET)
                loaded.close()
            except BaseException:  # noqa: BLE001 - the child says it by its status
                code = 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert thread.is_alive()  # the child's close() was the child's
        reader.close()
        thread.join(10)
        assert not thread.is_alive()


def test_the_interpreter_exits_with_everything_open(runtime: Runtime) -> None:
    script = textwrap.dedent(
        """
        import sys, threading, time
        import ebpf.runtime
        from ebpf import link
        from tests.conformance.specs import counter_collection, ring_collection

        runtime = ebpf.runtime.linux() if sys.argv[1] == "linux" else ebpf.runtime.embedded()
        loaded = ring_collection().load(runtime=runtime)
        counting = counter_collection().load(runtime=runtime)
        reader = loaded.maps["events"].reader()
        view = counting.maps["counter"].memory()
        threading.Thread(target=list, args=[reader], daemon=True).start()


        def endless():
            while True:
                yield bytes(64)

        packets = link.packets(counting.programs["program"], endless())
        packets.start()
        time.sleep(0.05)
        print("done", flush=True)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script, runtime.name],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    )
    assert (result.returncode, result.stdout.strip()) == (0, "done"), result.stderr
    assert "Traceback" not in result.stderr
    assert "Fatal" not in result.stderr
