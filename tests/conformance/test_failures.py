"""What is left over when a call fails half-way: nothing, whichever call it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebpf import link
from ebpf.abi.linux import EINVAL, ENOMEM
from ebpf.abi.types import AttachType, Cmd, ProgramType
from ebpf.errors import ClosedError, LoadError, SystemCallError
from ebpf.objects import Map, PerfEventArray, Program, RingBuffer
from ebpf.runtime import MapFacts, Runtime
from ebpf.runtime.attrs import Attr
from ebpf.runtime.defaults import BpfMapIO
from ebpf.runtime.embedded.kernel import EmbeddedRuntime
from ebpf.runtime.errors import system_call_error
from ebpf.spec import CollectionSpec
from tests.conformance.specs import collection, constant, hash_map, perf_collection, ring_collection

OBJECTS = Path(__file__).parents[1] / "objects"
FIREWALL = Path(__file__).parents[2] / "src/ebpf/cli/data/firewall.o"
MOST_CALLS = 400


class Failing:
    """Takes the place of `Runtime.bpf`: a call fails, and with `always` each one after it."""

    def __init__(self, bpf: Callable[[Cmd, Attr], int], errno: int, *, always: bool) -> None:
        self.bpf = bpf
        self.errno = errno
        self.always = always
        self.at: int | None = None
        self.calls = 0

    def arm(self, at: int | None) -> None:
        """Count from here on and fail the call with this number; None: none."""
        self.at, self.calls = at, 0

    @property
    def failed(self) -> bool:
        """Whether a call failed since."""
        return self.at is not None and self.calls >= self.at

    def __call__(self, cmd: Cmd, attr: Attr) -> int:
        self.calls += 1
        if self.calls == self.at or (self.always and self.failed):
            raise system_call_error(cmd, self.errno)
        return self.bpf(cmd, attr)


@pytest.fixture(params=[(ENOMEM, False), (ENOMEM, True), (EINVAL, False)], ids=["once", "from-then-on", "invalid"])
def failing(request: pytest.FixtureRequest, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Make calls of the runtime fail; element access goes through bpf() as well."""
    errno, always = request.param
    failing = Failing(runtime.bpf, errno, always=always)

    def map_io(facts: MapFacts) -> BpfMapIO:
        return BpfMapIO(runtime, facts)

    monkeypatch.setattr(runtime, "bpf", failing)
    monkeypatch.setattr(runtime, "map_io", map_io)
    return failing


@pytest.fixture
def pin_directory(runtime: Runtime) -> Iterator[str]:
    """A place for pins; it is removed, so it must be empty in the end."""
    path = f"/sys/fs/bpf/ebpf-fail-{os.getpid()}" if runtime.name == "linux" else "/failures"
    runtime.pins.make_directory(path)
    yield path
    runtime.pins.remove(path)


def held(runtime: Runtime) -> object:
    """What the process holds open in this runtime."""
    if isinstance(runtime, EmbeddedRuntime):
        return len(runtime.state.handles)
    return sorted(os.listdir("/proc/self/fd"))


def each_call_fails(runtime: Runtime, failing: Failing, work: Callable[[], None]) -> int:
    """Do the work with its 1st, 2nd, … call failing; return how many calls it makes. Nothing may stay open."""
    work()  # opens what is opened once for a process, so that it does not count
    before = held(runtime)
    for number in range(1, MOST_CALLS):
        failing.arm(number)
        try:
            work()
        except (LoadError, SystemCallError):
            if not failing.failed:
                raise
        failed = failing.failed
        failing.arm(None)
        assert held(runtime) == before, f"call {number} failed"
        if not failed:
            return number - 1
    raise AssertionError(f"more than {MOST_CALLS} calls")


def test_loading_an_object(runtime: Runtime, failing: Failing) -> None:
    spec = CollectionSpec.from_file(FIREWALL)
    assert each_call_fails(runtime, failing, lambda: spec.load(runtime=runtime).close()) >= 8


def test_loading_every_kind_of_map(runtime: Runtime, failing: Failing, pin_directory: str) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "maps.o")

    def work() -> None:
        try:
            with spec.load(runtime=runtime, pin_path=pin_directory):
                runtime.pins.remove(f"{pin_directory}/typed")
        finally:
            assert not runtime.pins.list(pin_directory)

    assert each_call_fails(runtime, failing, work) >= 20


def test_pinning(runtime: Runtime, failing: Failing, pin_directory: str) -> None:
    with collection(hash_map(), constant(2)).load(runtime=runtime) as loaded:

        def work() -> None:
            try:
                loaded.pin(pin_directory)
            except SystemCallError:
                assert not runtime.pins.list(pin_directory)
                raise
            with ExitStack() as undo:
                for name in ("counts", "program"):
                    undo.callback(runtime.pins.remove, f"{pin_directory}/{name}")
                Map.open_pinned(f"{pin_directory}/counts", runtime=runtime).close()
                Program.open_pinned(f"{pin_directory}/program", runtime=runtime).close()

        assert each_call_fails(runtime, failing, work) >= 6


def test_opening_what_exists(runtime: Runtime, failing: Failing) -> None:
    with CollectionSpec.from_file(FIREWALL).load(runtime=runtime) as loaded:
        rules, program = loaded.maps["rules"].id, loaded.programs["firewall"].id

        def work() -> None:
            Map.open_id(rules, runtime=runtime).close()
            Program.open_id(program, runtime=runtime).close()

        assert each_call_fails(runtime, failing, work) >= 6


def test_attaching(runtime: Runtime, failing: Failing) -> None:
    spec = collection(
        constant(
            2, name="first", kind=ProgramType.SCHED_CLS, section="tcx/ingress", attach_type=AttachType.TCX_INGRESS
        ),
        constant(2, name="second", kind=ProgramType.SCHED_CLS, section="tcx/egress", attach_type=AttachType.TCX_EGRESS),
    )
    with spec.load(runtime=runtime) as loaded:

        def work() -> None:
            with loaded.attach(targets={"first": 1, "second": 1}) as links:
                links[0].info()
                links[1].update(loaded.programs["second"])
                links.detach()

        assert each_call_fails(runtime, failing, work) >= 6


def test_reading(runtime: Runtime, failing: Failing) -> None:
    with perf_collection().load(runtime=runtime) as perf, ring_collection().load(runtime=runtime) as ring:
        records, events = perf.maps["events"], ring.maps["events"]
        assert isinstance(records, PerfEventArray)
        assert isinstance(events, RingBuffer)

        def work() -> None:
            records.reader().close()
            events.reader().close()

        # Opening rings of the embedded kernel takes no bpf() call; perf rings of Linux take one for each CPU.
        assert each_call_fails(runtime, failing, work) >= (runtime.cpus if runtime.name == "linux" else 0)


def test_what_was_closed_opens_nothing(runtime: Runtime) -> None:
    with collection(constant(2, kind=ProgramType.RAW_TRACEPOINT)).load(runtime=runtime) as loaded:
        program = loaded.programs["program"]
    perf = perf_collection().load(runtime=runtime)
    perf.close()
    records = perf.maps["events"]
    assert isinstance(records, PerfEventArray)
    before = held(runtime)
    with pytest.raises(ClosedError):
        link.raw_tracepoint(program, "sys_enter")
    with pytest.raises(ClosedError):
        records.reader()
    assert held(runtime) == before
