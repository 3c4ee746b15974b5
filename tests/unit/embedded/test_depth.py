"""Eight frames, callbacks among them, and one more: alone, in lanes and in place, every engine ends in the same way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from tests.unit.embedded_programs import Limits, kernel, load

End = tuple[object, ...]
PACKET = bytes(range(64))
HIDDEN = "r2 += 1; r2 += -1"  # the loader loses sight of a function's address that was calculated with
ENGINES = (("interpreter", False), ("jit", False), ("jit", True))


def counts(place: int) -> str:
    """Add to a byte of the packet whose context is in r6."""
    return f"""
        r2 = *(u32 *)(r6 + 0); r3 = *(u32 *)(r6 + 4); r4 = r2; r4 += 16
        if r4 > r3 goto short{place}
        r5 = *(u8 *)(r2 + {place}); r5 += 100; *(u8 *)(r2 + {place}) = r5
    short{place}:
    """


def chain(functions: int, last: str) -> str:
    """The main program and functions that call each other; the last one ends so."""
    calls = "".join(
        f"""
        f{n}: r6 = r1; *(u64 *)(r10 - 8) = r6
        {counts(n)}
        {f"r1 = r6; call f{n + 1}; r6 = *(u64 *)(r10 - 8); r0 += r6; r0 -= r6; exit" if n < functions else last}
        """
        for n in range(1, functions + 1)
    )
    return f"r6 = r1; call f1; r0 += 1; exit; {calls}"


def loop(callback: str, behind: str = "") -> str:
    """Call a callback three times; what it runs, and functions behind it."""
    return f"""
        r1 = 3; r2 = func[g] ll; {HIDDEN}; r3 = r6; r4 = 0; call bpf_loop; exit
        g: r6 = r2
        {counts(9)}
        {callback}; r0 = 0; exit
        {behind}
    """


CALL_K = ("r1 = r6; call k", f"k: r6 = r1\n{counts(10)}\nr0 = 0; exit")
PROGRAMS = {
    "eight": (chain(7, "r0 = 100; exit"), ""),
    "without end in the eighth": (chain(7, "l: if r10 != 0 goto l; exit"), "budget"),
    "the eighth is a callback": (chain(6, loop("r0 = 0")), ""),
    "the ninth is a callback": (chain(7, loop("r0 = 0")), "stack"),
    "a callback calls the eighth": (chain(5, loop(*CALL_K)), ""),
    "a callback calls the ninth": (chain(6, loop(*CALL_K)), "stack"),
    "a callback without end": (chain(6, loop("l: if r10 != 0 goto l")), "budget"),
}


def run(runner: Runner) -> End:
    done = runner.run(PACKET)
    return done.retval, bytes(done.data)


def run_many(runner: Runner) -> End:
    done = runner.run_many(gather([PACKET] * 2))
    left = bytes(done.packets.data)
    assert left[:64] == left[64:]
    assert len(set(done.retvals)) == 1
    return done.retvals[0], left[:64]


def function(runner: Runner) -> End:
    call, ends = runner.function(), []
    for _ in range(2):
        packet = bytearray(PACKET)
        ends.append((call(packet), bytes(packet)))
    assert ends[0] == ends[1]
    return ends[0]


def end_of(text: str, engine: str, way: Callable[[Runner], End], *, trusted: bool = False) -> End:
    with kernel(limits=Limits(budget=20_000)) as runtime:
        facts = load(runtime, text)
        try:
            return way(runtime.runner(facts, engine=engine, trusted=trusted))
        except ProgramFault as fault:
            return fault.kind, None if fault.kind == "budget" else fault.insn
        except NotSupportedError as error:
            pytest.skip(str(error))
        finally:
            facts.handle.close()


@pytest.mark.parametrize("way", [run, run_many, function])
@pytest.mark.parametrize(("engine", "trusted"), ENGINES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_depth(name: str, engine: str, trusted: bool, way: Callable[[Runner], End]) -> None:
    text, kind = PROGRAMS[name]
    expected = end_of(text, "reference", run)
    assert end_of(text, engine, way, trusted=trusted) == expected
    assert (expected[0] == kind) if kind else (expected[1] != PACKET)
