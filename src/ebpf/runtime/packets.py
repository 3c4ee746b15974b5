"""Feeding a source of packets to a program on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ebpf.errors import ClosedError
from ebpf.runtime.facts import RunResult
from ebpf.runtime.handle import Handle
from ebpf.runtime.hooks import PacketsHook


def feed(hook: PacketsHook, run: Callable[[bytes], RunResult]) -> Handle:
    """Start the thread; closing the handle ends it after the packet it is at.

    close() does not wait: a source that blocks ends with its next packet, and `done` says when. An exception of the
    source, the program or the sink ends the feeding and goes to `done`, which is called once; one that `done` raises
    goes to threading.excepthook. Where no thread can be started `done` is not called.
    """
    stop = threading.Event()

    def work() -> None:
        failure: BaseException | None = None
        try:
            for packet in hook.packets:
                if stop.is_set():
                    break
                result = run(packet)
                if hook.sink is not None:
                    hook.sink(result.data, result)
        except ClosedError as error:
            # The program was closed after its link: that is an end, not a failure.
            failure = None if stop.is_set() else error
        except BaseException as error:  # noqa: BLE001 - handed over whole to whoever waits for the end
            failure = error
        if hook.done is not None:
            hook.done(failure)

    thread = threading.Thread(target=work, name="ebpf packets", daemon=True)
    thread.start()
    return Handle(lambda _: stop.set(), -1, what="source of packets")
