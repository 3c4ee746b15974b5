"""Tasks of event loops that read."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ebpf.objects import Collection, Reader
from ebpf.runtime import Runtime
from tests.conformance.specs import ring_collection
from tests.conformance.waits import begun, ended, until


@pytest.fixture
def loaded(runtime: Runtime) -> Iterator[Collection]:
    until(lambda: not waiting_threads())  # of the case before
    with ring_collection().load(runtime=runtime) as coll:
        yield coll


def reader_of(loaded: Collection) -> Reader:
    reader: Reader = loaded.maps["events"].reader()  # type: ignore[attr-defined]  # it is a ring
    return reader


def run(loaded: Collection, times: int = 1) -> None:
    loaded.programs["program"].run(bytes(64), repeat=times)


def waiting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "waiting for records"]


async def begin(reader: Reader, count: int) -> list[asyncio.Task[object]]:
    """Begin tasks that wait for a record each."""

    async def one() -> object:
        with contextlib.suppress(StopAsyncIteration):
            return await anext(reader)
        return "ended"

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    while len(reader._waiting) < count:
        await asyncio.sleep(0.001)
    assert len(waiting_threads()) <= 1
    return tasks


def test_tasks_of_one_loop_share_the_records(loaded: Collection) -> None:
    async def main() -> list[object]:
        with reader_of(loaded) as reader:
            tasks = await begin(reader, 3)
            run(loaded, times=3)
            return list(await asyncio.gather(*tasks))

    assert all(isinstance(record, bytes) for record in ended(lambda: asyncio.run(main())))
    until(lambda: not waiting_threads())


def test_close_ends_every_task(loaded: Collection) -> None:
    async def main() -> list[object]:
        reader = reader_of(loaded)
        tasks = await begin(reader, 3)
        reader.close()
        return list(await asyncio.gather(*tasks))

    assert ended(lambda: asyncio.run(main())) == ["ended"] * 3


def test_cancelled_tasks_leave_no_thread(loaded: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebpf.objects.watch._PATIENCE", None)

    async def main(reader: Reader) -> None:
        await begin(reader, 2)  # asyncio.run() cancels them

    with reader_of(loaded) as reader:
        ended(lambda: asyncio.run(main(reader)))
        until(lambda: not waiting_threads())
        assert not reader._users
        run(loaded)
        assert reader.read(0)


def test_a_task_goes_on_when_another_is_cancelled(loaded: Collection) -> None:
    async def main() -> object:
        with reader_of(loaded) as reader:
            first, second = await begin(reader, 2)
            first.cancel()
            await asyncio.sleep(0)
            run(loaded)
            return await second

    assert isinstance(ended(lambda: asyncio.run(main())), bytes)


def test_waiting_takes_no_thread_of_the_executor(loaded: Collection) -> None:
    async def main() -> object:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with reader_of(loaded) as reader:
            (task,) = await begin(reader, 1)
            await asyncio.to_thread(run, loaded)
            return await task

    assert isinstance(ended(lambda: asyncio.run(main())), bytes)


def test_two_loops_and_a_thread_read_one_reader(loaded: Collection) -> None:
    async def main(reader: Reader) -> object:
        return await anext(reader)

    with reader_of(loaded) as reader:
        calls = [begun(lambda: asyncio.run(main(reader))), begun(lambda: asyncio.run(main(reader))), begun(reader.read)]
        until(lambda: len(reader._waiting) == 3)
        run(loaded, times=3)
        for thread, results in calls:
            thread.join(20)
            assert len(results) == 1
