"""Runs a few lines of assembly on every engine, compiled code in both tiers, and compares what can be seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.vm.engines import choose_engine
from ebpf.vm.jit.tiers import tiers_of
from ebpf.vm.maps import Map, MapShape, create_map
from ebpf.vm.testrun import TestRequest, test_run
from tests.unit.vm.bench import Bench, StillKernel

BUDGET = 20_000
WAYS = (("interpreter", None), ("jit", "light"), ("jit", "full"))
"""Engine and tier, beside the reference engine."""


@dataclass(frozen=True)
class End:
    """How a run ended: r0, or kind and instruction of a fault, and what it left."""

    r0: int | None = None
    fault: tuple[str, int | None] | None = None
    data: bytes = b""
    maps: list[object] = field(default_factory=list)


def make_maps() -> dict[str, Map]:
    """An array of one, a longer one, one with values for each of four CPUs, and a hash."""
    return {
        "one": create_map(MapShape(MapType.ARRAY, 4, 64, 1, name="one")),
        "array": create_map(MapShape(MapType.ARRAY, 4, 64, 4, name="array")),
        "cpus": create_map(MapShape(MapType.PERCPU_ARRAY, 4, 16, 2, name="cpus"), cpus=4),
        "hash": create_map(MapShape(MapType.HASH, 4, 16, 4, name="hash")),
    }


def end_of(
    text: str,
    type_: ProgramType,
    request: TestRequest,
    *,
    engine: str,
    tier: str | None = None,
    budget: int = BUDGET,
    trusted: bool = False,
) -> End:
    """Run a program in a world of its own, on CPU 1."""
    maps = make_maps()
    bench = Bench(maps, StillKernel())
    program = bench.load(text, type_)
    chosen = choose_engine(engine, trusted=trusted)
    if tier is not None:
        tiers_of(program, trusted=trusted).compile(tier)
    end: dict[str, object] = {}
    try:
        run = test_run(program, bench.kernel, request, on_cpu=1, cpus=4, budget=budget, engine=chosen)
        end = {"r0": run.retval, "data": run.data}
    except ProgramFault as error:
        end = {"fault": (error.kind, None if error.kind == "budget" else error.insn)}
        if error.kind == "budget":
            return End(**end)  # type: ignore[arg-type]
    return End(**end, maps=_left(maps))  # type: ignore[arg-type]


def _left(maps: Mapping[str, Map]) -> list[object]:
    return [
        [(bytes(key), bytes(value)) for key, _, value in map_.elements_on(cpu)]
        for map_ in maps.values()
        for cpu in (0, 1)
    ]


def same_end(
    text: str,
    type_: ProgramType = ProgramType.SYSCALL,
    *,
    data: bytes = b"",
    ctx: bytes | None = None,
    repeat: int = 0,
    budget: int = BUDGET,
) -> End:
    """Return how a program ends, which is the same on every engine."""
    request = TestRequest(data=data, ctx=ctx, repeat=repeat)
    expected = end_of(text, type_, request, engine="reference", budget=budget)
    for engine, tier in WAYS:
        try:
            choose_engine(engine)
        except NotSupportedError as error:
            pytest.skip(str(error))
        assert end_of(text, type_, request, engine=engine, tier=tier, budget=budget) == expected, (engine, tier)
    return expected
