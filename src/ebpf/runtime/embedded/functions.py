"""Programs as functions that change a buffer in place: builtins made of native code, or Python where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.errors import NotSupportedError
from ebpf.vm.batch import PacketLane
from ebpf.vm.forms import IN_MAPS, form_of
from ebpf.vm.function import ProgramFunction, in_place, length_changed

if TYPE_CHECKING:
    from array import array

    from typing_extensions import Buffer

    from ebpf.runtime.embedded.objects import ProgramObject
    from ebpf.runtime.embedded.state import State
    from ebpf.runtime.facts import RunResult
    from ebpf.vm.engines import Engine
    from ebpf.vm.program import Program


class CopyingFunction:
    """Runs a program over a copy of a buffer, which becomes what the program left. Threads may share it."""

    def __init__(self, name: str, run: Callable[[Buffer], RunResult], reason: str) -> None:
        self._name = name
        self._run = run
        self._reason = reason

    def __call__(self, packet: Buffer, /) -> int:
        """Run; return what the program returned."""
        with in_place(packet) as view:
            result = self._run(view)
            if len(result.data) != len(view):
                raise length_changed(len(result.data), len(view))
            view[:] = result.data
        return result.retval

    def __repr__(self) -> str:
        return f"<function of program {self._name!r}, not native: {self._reason}>"


def make_function(
    state: State,
    program: ProgramObject,
    engine: Engine,
    run: Callable[[Buffer], RunResult],
    *,
    closed: array[int],
) -> Callable[[Buffer], int]:
    """Return the function of a program. `run` runs it over a copy; `closed` is 1 from when it may not run any more.

    Raises NotSupportedError where it runs over no packet.
    """
    name = program.name or "program"
    form = form_of(program.program)
    if form is None:
        raise _without_packets(program.program, name)
    if engine.code is None:
        return CopyingFunction(name, run, f"the engine is {engine.name}")
    from ebpf.codegen.builtin import obstacle

    reason = obstacle()
    if reason is not None:
        return CopyingFunction(name, run, reason)
    code = engine.code(program.program, state)
    lane = PacketLane(program.program, state, form, cpu=0, budget=state.limits.budget, code=code)
    if lane.epoch.shared:
        return CopyingFunction(name, run, "this process has too many functions")
    code.follow(lane.code)
    function = ProgramFunction(
        lane,
        program=program,
        gate=state.gate.address,
        closed=closed,
        elsewhere=CopyingFunction(name, run, "called from native code"),
        adopt=lambda body: state.cpus.adopt(program, body),
    )
    return function.builtin(name)


def _without_packets(program: Program, name: str) -> NotSupportedError:
    kind = program.type.label + (" for a devmap or cpumap" if program.attach_type in IN_MAPS else "")
    return NotSupportedError(
        f"a function of program {name!r}, of type {kind},",
        runtime="embedded",
        alternative="XDP, tc, cgroup_skb and socket filter programs, which run over a packet, have one; use run()",
    )
