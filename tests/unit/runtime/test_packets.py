"""Feeding packets on a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from ebpf.errors import ClosedError
from ebpf.runtime import PacketsHook, RunResult
from ebpf.runtime.packets import feed


class End:
    """Collects how a feeding ended."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.calls: list[BaseException | None] = []

    def __call__(self, failure: BaseException | None) -> None:
        self.calls.append(failure)
        self.event.set()

    def wait(self) -> BaseException | None:
        assert self.event.wait(10)
        [failure] = self.calls
        return failure


def _drop_first(packet: bytes) -> RunResult:
    return RunResult(retval=1, data=packet[1:], ctx=b"", duration_ns=0)


def test_the_sink_gets_what_is_left_in_order() -> None:
    end, seen = End(), []
    handle = feed(PacketsHook([b"ab", b"cd"], lambda data, _: seen.append(data), end), _drop_first)
    assert end.wait() is None
    assert seen == [b"b", b"d"]
    handle.close()


def _broken_source() -> Iterator[bytes]:
    yield b"ab"
    raise LookupError("no more")


def _broken(_: bytes) -> RunResult:
    raise LookupError("no run")


def _broken_sink(_: bytes, __: object) -> None:
    raise LookupError("no sink")


@pytest.mark.parametrize(
    ("hook", "run", "text"),
    [
        (lambda end: PacketsHook(_broken_source(), None, end), _drop_first, "no more"),
        (lambda end: PacketsHook([b"ab"], None, end), _broken, "no run"),
        (lambda end: PacketsHook([b"ab"], _broken_sink, end), _drop_first, "no sink"),
    ],
)
def test_what_ends_it_goes_to_done(
    hook: Callable[[End], PacketsHook], run: Callable[[bytes], RunResult], text: str
) -> None:
    end = End()
    handle = feed(hook(end), run)
    failure = end.wait()
    assert isinstance(failure, LookupError)
    assert str(failure) == text
    handle.close()


def test_closing_ends_it_after_the_packet_at_hand() -> None:
    end, running, go = End(), threading.Event(), threading.Event()
    seen: list[bytes] = []

    def run(packet: bytes) -> RunResult:
        seen.append(packet)
        running.set()
        assert go.wait(10)
        return _drop_first(packet)

    handle = feed(PacketsHook([b"1", b"2", b"3"], None, end), run)
    assert running.wait(10)
    handle.close()
    go.set()
    assert end.wait() is None
    assert seen == [b"1"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_closed_program_is_a_failure_only_while_feeding(closed: bool) -> None:
    end, running, go = End(), threading.Event(), threading.Event()

    def run(_: bytes) -> RunResult:
        running.set()
        assert go.wait(10)
        raise ClosedError("the program was closed")

    handle = feed(PacketsHook([b"1"], None, end), run)
    assert running.wait(10)
    if closed:
        handle.close()
    go.set()
    assert (end.wait() is None) is closed
    handle.close()


def test_an_exception_of_done_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[BaseException | None] = []
    shown: list[type[BaseException]] = []
    told = threading.Event()

    def done(failure: BaseException | None) -> None:
        calls.append(failure)
        raise LookupError("nobody to tell")

    def show(args: threading.ExceptHookArgs) -> None:
        shown.append(args.exc_type)
        told.set()

    monkeypatch.setattr(threading, "excepthook", show)
    handle = feed(PacketsHook([b"ab"], None, done), _drop_first)
    assert told.wait(10)
    handle.close()
    assert (calls, shown) == ([None], [LookupError])
