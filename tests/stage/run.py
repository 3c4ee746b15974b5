"""One run on a stage of its own, and all that can be seen of it: result or fault, packet, context, maps, records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from ebpf.abi.types import AttachType, Cmd, ProgramType
from ebpf.errors import ProgramFault, SystemCallError
from ebpf.runtime import Runtime
from ebpf.runtime.attrs import ProgTestRun
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded.objects import ProgramObject
from ebpf.runtime.embedded.runs import run_program
from ebpf.runtime.facts import Limits
from ebpf.runtime.handle import Handle
from ebpf.vm.context import PlainContext, SkbContext, XdpContext
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.fault import Rejected
from ebpf.vm.jit import tiers
from ebpf.vm.machine import Run
from ebpf.vm.testrun import TestRequest, TestRun
from tests.stage.stage import Contents, Stage, Store

_FIELDS = ("mark", "queue_mapping", "priority", "tc_index", "hash", "tc_classid", "tstamp", "protocol")
_CONTEXT_ONLY = (ProgramType.SYSCALL, ProgramType.RAW_TRACEPOINT)
_ROOM = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is to be run: code with maps by index, the maps, programs for the slots of the program array `progs`.

    `functions` are the first slots of all functions, where the kernel needs types for callbacks. It runs `repeat` times
    one after the other; with `lane` in one call, which engines may make one loop of (ebpf.vm.lane).
    """

    code: bytes
    type: ProgramType = ProgramType.XDP
    attach_type: AttachType | None = None
    stores: tuple[Store, ...] = ()
    slots: Mapping[int, bytes] = field(default_factory=dict)
    functions: tuple[int, ...] = ()
    data: bytes = bytes(range(64))
    ctx: bytes | None = None
    repeat: int = 1
    lane: bool = False
    budget: int = 20_000
    cpus: int = 1


@dataclass
class Outcome:
    """All that can be seen of a run. `refused` is an errno: of the load, or of the run if `loaded`.

    `fault` is the fault's kind, `insn` its slot, `program` the program it is in.
    """

    refused: int = 0
    loaded: bool = True
    r0: int | None = None
    fault: str = ""
    insn: int | None = None
    program: str = ""
    packet: str = ""
    context: str = ""
    maps: dict[str, Contents] = field(default_factory=dict)

    @property
    def left(self) -> tuple[str, str, dict[str, Contents]]:
        """What the run left behind."""
        return self.packet, self.context, self.maps


EXACT_BUDGET = frozenset({"reference", "interpreter"})
"""Engines that say exactly where a budget ended; others may be off by one iteration of a loop."""


def comparable(outcome: Outcome, *engines: str) -> Outcome:
    """Leave out what these engines may differ in."""
    rough = outcome.fault == "budget" and not EXACT_BUDGET.issuperset(engines)
    return replace(outcome, insn=None) if rough else outcome


class _Watch:
    """Looks over an engine's shoulder: at the context, which a fault takes along, and at all 64 bits of r0."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine._replace(execute=self._execute)
        self._real = engine.execute
        self.run: Run | None = None
        self.r0: int | None = None

    def _execute(self, run: Run, *arguments: int, helper: Any = None) -> int:
        self.run, self.r0 = run, None
        self.r0 = self._real(run, *arguments, helper=helper)
        return self.r0


FULL = "jit, full tier"
"""The engine whose programs are compiled with all passes before they first run, which takes millions of runs else."""


def play(script: Script, engine: str, *, seed: int = 1) -> Outcome:
    """Run in an embedded kernel made for it, on the engine of that name."""
    runtime = EmbeddedRuntime(cpus=script.cpus, seed=seed, limits=Limits(budget=script.budget))
    chosen = choose_engine("jit" if engine == FULL else engine)
    try:
        with Stage(runtime, script.stores) as stage, mock.patch.object(tiers, "FIRST", _first_tier(engine)):
            return _play(stage, runtime, script, chosen)
    finally:
        runtime.close()


def _first_tier(engine: str) -> str:
    return "full" if engine == FULL else tiers.FIRST


def _play(stage: Stage, runtime: EmbeddedRuntime, script: Script, engine: Engine) -> Outcome:
    seen = Outcome()
    try:
        program = runtime.state.handles.program(stage.number(load(stage, script)))
    except SystemCallError as error:
        return Outcome(refused=error.linux_errno, loaded=False)
    if script.lane:
        _play_lane(seen, script, program, runtime, engine)
        seen.maps = stage.contents()
        return seen
    watch = _Watch(engine)
    try:
        for _ in range(script.repeat):
            _note(seen, watch, run_program(runtime.state, program, request_of(script), watch.engine))
    except ProgramFault as fault:
        seen.r0, seen.fault, seen.insn = None, fault.kind, fault.insn
        seen.program = watch.run.program.name if watch.run is not None else ""
    except Rejected as error:
        seen.refused = error.errno
    if watch.run is not None:
        seen.packet, seen.context = _left(watch.run.context)
    seen.maps = stage.contents()
    return seen


def _play_lane(seen: Outcome, script: Script, program: ProgramObject, runtime: EmbeddedRuntime, engine: Engine) -> None:
    """Let the engine have all runs at once: nobody looks over its shoulder, and r0 has 32 bits."""
    try:
        result = run_program(runtime.state, program, request_of(script), engine)
        seen.r0, seen.packet = result.retval, result.data.hex()
    except ProgramFault as fault:
        seen.fault, seen.insn = fault.kind, fault.insn


def _note(seen: Outcome, watch: _Watch, result: TestRun) -> None:
    assert watch.r0 is None or watch.r0 & 0xFFFFFFFF == result.retval
    seen.r0, seen.packet = watch.r0, result.data.hex()


def load(stage: Stage, script: Script) -> Handle:
    """Load all programs of a script onto a stage and return the main one. Raises SystemCallError."""
    for index, code in script.slots.items():
        other = stage.load(code, script.type, name=f"slot{index}", attach_type=script.attach_type)
        stage.place(stage.maps["progs"], index, other)
    return stage.load(script.code, script.type, attach_type=script.attach_type, functions=script.functions)


def request_of(script: Script) -> TestRequest:
    """Return the test run that a script asks for."""
    if script.type in _CONTEXT_ONLY:
        return TestRequest(ctx=script.ctx)
    repeat = script.repeat if script.lane else 1
    return TestRequest(data=script.data, ctx=script.ctx, repeat=repeat, wants_data=True)


def _left(context: XdpContext | SkbContext | PlainContext) -> tuple[str, str]:
    if isinstance(context, PlainContext):
        return "", bytes(context.data).hex()
    if isinstance(context, XdpContext):
        return context.frame().hex(), f"{context.data_meta} {context.data} {context.data_end}"
    fields = [f"{name}={context[name]:#x}" for name in _FIELDS]
    return context.packet().hex(), " ".join((*fields, bytes(context.fields[48:68]).hex()))


def play_in(runtime: Runtime, script: Script) -> Outcome:
    """Run in a kernel of another kind, Linux for one; the context is not seen there, r0 has 32 bits."""
    with Stage(runtime, script.stores) as stage:
        try:
            number = stage.number(load(stage, script))
        except SystemCallError as error:
            return Outcome(refused=error.linux_errno, loaded=False)
        attr = ProgTestRun(
            prog_fd=number, data_in=script.data, data_size_in=len(script.data), data_out=bytearray(_ROOM),
            data_size_out=_ROOM, repeat=script.repeat,
        )  # fmt: skip
        runtime.bpf(Cmd.PROG_TEST_RUN, attr)
        packet = bytes(memoryview(attr.data_out or b"")[: attr.data_size_out])
        return Outcome(r0=attr.retval, packet=packet.hex(), maps=stage.contents())
