"""run(repeat=n) in native code: what n single runs over the same packet and context do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ebpf.abi.types import ProgramType
from ebpf.errors import ProgramFault, SystemCallError
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits, ProgramFacts
from tests.testrun import addresses
from tests.testrun.case import Case, loaded, output
from tests.testrun.recorded import CASES

REPEATABLE = {
    ProgramType.XDP,
    ProgramType.SCHED_CLS,
    ProgramType.SCHED_ACT,
    ProgramType.CGROUP_SKB,
    ProgramType.SOCKET_FILTER,
}


def cases(subject: str) -> Iterator[Case]:
    known = {**CASES, "addresses": addresses.CASES}[subject]
    return (case for case in known if case.type in REPEATABLE)


def answers(case: Case, engine: str) -> tuple[object, ...]:
    """What 1, 2 and 5 repeats give, one after the other, and what the map holds then."""
    found: list[object] = []
    runtime = EmbeddedRuntime(seed=1, clock=itertools.count().__next__, limits=Limits(budget=3000))
    try:
        with loaded(runtime, case) as (handle, fds):
            facts = ProgramFacts(handle, case.type, "", case.attach_type)
            runner = runtime.runner(facts, engine=engine)
            for repeat in (1, 2, 5):
                try:
                    result = runner.run(case.data, ctx=case.ctx, repeat=repeat, flags=case.flags)
                    found.append((result.retval, result.data, result.ctx, result.redirect))
                except ProgramFault as fault:
                    found.append((str(fault), fault.kind, fault.insn, fault.regions))
            found.append(output(runtime, fds))
    except SystemCallError as error:
        found.append(error.errno)
    runtime.close()
    return tuple(found)


@pytest.mark.parametrize("subject", ["addresses", "skb_bytes", "skb_fields", "skb_shape", "xdp"])
def test_engines_repeat_alike(subject: str) -> None:
    different = [
        f"{case}: {one} != {other}"[:500]
        for case in cases(subject)
        for one, other in [(answers(case, "reference"), answers(case, "interpreter"))]
        if one != other
    ]
    assert not different, "\n".join(different[:3])


@pytest.mark.usefixtures("jit")
def test_compiled_programs_repeat_alike() -> None:
    # They have addresses of their own.
    different = [
        f"{case}: {one} != {other}"[:500]
        for case in itertools.islice(cases("xdp"), 0, None, 3)
        for one, other in [(answers(case, "reference"), answers(case, "jit"))]
        if one != other
    ]
    assert not different, "\n".join(different[:3])


def test_the_mean_time_of_a_run_is_that_of_native_code() -> None:
    runtime = EmbeddedRuntime()
    with loaded(runtime, Case(name="", type=ProgramType.XDP, text="r0 = 2; exit")) as (handle, _):
        facts = ProgramFacts(handle, ProgramType.XDP, "")
        times = [
            min(runtime.runner(facts, engine=engine).run(bytes(64), repeat=repeat).duration_ns for _ in range(5))
            for engine, repeat in (("reference", 100), ("interpreter", 100_000))
        ]
    runtime.close()
    assert times[0] > 20 * times[1]
