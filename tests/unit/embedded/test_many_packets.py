"""run_many() and function(): every packet sees what a run of its own sees, and leaves the same behind."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ebpf.abi.types import ProgramType
from ebpf.errors import EbpfError, NotSupportedError, ProgramFault, SystemCallError
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits, ProgramFacts
from ebpf.runtime.joined import JoinedPackets
from tests.testrun import addresses
from tests.testrun.case import Case, loaded, output
from tests.testrun.packets import KINDS, UDP4, pattern
from tests.testrun.recorded import CASES

PACKET_TYPES = {
    ProgramType.XDP,
    ProgramType.SCHED_CLS,
    ProgramType.SCHED_ACT,
    ProgramType.CGROUP_SKB,
    ProgramType.SOCKET_FILTER,
}
SIZES = [16, 34, 1500, 3520, 3521, 3713]
PACKETS = [*KINDS.values(), *(UDP4[:14] + pattern(size - 14) for size in SIZES), pattern(64), UDP4]
BUDGET = 3000
Answer = tuple[object, ...]


def subjects() -> Iterator[Case]:
    """Every program of the test runs' cases once, and those that look at addresses."""
    seen = set()
    for case in itertools.chain(*CASES.values(), addresses.CASES):
        key = case.type, case.text, case.attach_type, case.constants
        if case.type in PACKET_TYPES and key not in seen:
            seen.add(key)
            yield case


def answer(run: Callable[[], tuple[int, bytes]]) -> Answer:
    """What came of a run, errors in full."""
    try:
        return run()
    except ProgramFault as fault:
        return str(fault), fault.kind, fault.insn, fault.address, fault.regions
    except SystemCallError as error:
        return error.errno, str(error)


def one_by_one(runner: Runner, packets: Iterable[bytes]) -> list[Answer]:
    def run(packet: bytes) -> tuple[int, bytes]:
        result = runner.run(packet)
        return result.retval, result.data

    return [answer(lambda packet=packet: run(packet)) for packet in packets]  # type: ignore[misc]  # mypy infers no lambda


def with_redirects(runner: Runner, packets: Iterable[bytes]) -> list[Answer]:
    def run(packet: bytes) -> Any:
        result = runner.run(packet)
        return result.retval, result.data, result.redirect

    return [answer(lambda packet=packet: run(packet)) for packet in packets]  # type: ignore[misc]  # as above


def joined(packets: list[bytes]) -> JoinedPackets:
    return JoinedPackets(memoryview(b"".join(packets)), array("Q", map(len, packets)))


def all_at_once(runner: Runner, packets: list[bytes]) -> list[Answer]:
    """Run as many as possible at once: after an error, those behind it again."""
    found: list[Answer] = []
    rest = packets
    while rest:
        try:
            done = runner.run_many(joined(rest))
        except EbpfError as error:
            at = int(error.__notes__[-1].split()[1])
            if at:
                # What came before went well, but the batch is gone: the state of maps is compared elsewhere.
                found += [("before an error",)] * at
            found.append(answer(lambda error=error: raising(error)))  # type: ignore[misc]  # as above
            rest = rest[at + 1 :]
        else:
            left = [bytes(packet) for packet in done.packets]
            return found + list(zip(done.retvals, left, strict=True))
    return found


def raising(error: EbpfError) -> Any:
    raise error


def in_place(runner: Runner, packets: Iterable[bytes]) -> list[Answer]:
    try:
        function = runner.function()
    except NotSupportedError:
        return one_by_one(runner, packets)  # which is refused, too

    def run(packet: bytes) -> tuple[int, bytes]:
        buffer = bytearray(packet)
        return function(buffer), bytes(buffer)

    def one(packet: bytes) -> Answer:
        try:
            return answer(lambda: run(packet))
        except ValueError as error:
            return ("length changed",) if "use run()" in str(error) else (str(error),)

    return [one(packet) for packet in packets]


def compare(
    case: Case, way: Callable[[Runner, list[bytes]], list[Answer]], engine: str, packets: list[bytes], model: str
) -> list[str]:
    """Return what differs from single runs on the model engine, for all packets."""
    results = []
    for name, run in ((model, way if way is with_redirects else one_by_one), (engine, way)):
        runtime = EmbeddedRuntime(seed=1, clock=lambda: 5, limits=Limits(budget=BUDGET))
        with loaded(runtime, case) as (handle, fds):
            facts = ProgramFacts(handle, case.type, "", case.attach_type)
            results.append([*run(runtime.runner(facts, engine=name), packets), (output(runtime, fds),)])
        runtime.close()
    return [
        f"{case}: packet {index}: {one} != {other}"[:500]
        for index, (one, other) in enumerate(zip(*results, strict=True))
        if one != other and other != ("before an error",)
        if other != ("length changed",) or len(one[1]) == len(packets[index])  # type: ignore[arg-type]  # the packet
    ]


SUBJECTS = {
    name: [case for case in subjects() if case in cases]
    for name, cases in {**CASES, "addresses": addresses.CASES}.items()
}
ALL, SOME = PACKETS, PACKETS[::4]


@pytest.mark.parametrize("way", [all_at_once, in_place, with_redirects])
@pytest.mark.parametrize(
    ("subject", "packets"),
    [("addresses", ALL), ("xdp", ALL), ("skb_fields", ALL), ("skb_bytes", SOME), ("skb_shape", SOME)],
)
def test_packets_are_alone(way: Callable[..., list[Answer]], subject: str, packets: list[bytes]) -> None:
    different = [line for case in SUBJECTS[subject] for line in compare(case, way, "interpreter", packets, "reference")]
    assert not different, "\n".join(different[:5])


@pytest.mark.parametrize("way", [all_at_once, in_place, with_redirects])
@pytest.mark.parametrize("engine", ["reference", "jit"])
def test_other_engines_give_the_same(
    engine: str, way: Callable[..., list[Answer]], request: pytest.FixtureRequest
) -> None:
    if engine == "jit":
        request.getfixturevalue("jit")
    # Compiled code gives addresses of its own: functions that use no stack have none.
    cases = [*SUBJECTS["addresses"], *SUBJECTS["xdp"][::3]]
    different = [line for case in cases for line in compare(case, way, engine, SOME, engine)]
    assert not different, "\n".join(different[:5])
