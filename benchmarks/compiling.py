"""How long compiling takes: synthetic programs of 1,000 and 10,000 instructions, straight and branchy."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from benchmarks.errors import Missing
from benchmarks.measure import Effort
from benchmarks.packets import frame
from benchmarks.peers import CRANELIFT, RBPF, UBPF, Peer, PeerSubject
from benchmarks.section import Figure, Section
from benchmarks.synthetic import SHAPES, Shape, synthetic
from benchmarks.table import Table, number
from ebpf import Instructions, ProgramType

if TYPE_CHECKING:
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program

LENGTHS = (1_000, 10_000)
TIERS = ("light", "full")
BARS_MS = {
    ("light", "straight"): 100.0,
    ("light", "branchy"): 130.0,
    ("full", "straight"): 180.0,
    ("full", "branchy"): 230.0,
}
"""For 1,000 instructions."""
GROWTH = 12.0
"""What the light tier takes for 10,000 instructions, in times of its own for 1,000."""
_PEERS = {"uBPF jit": (UBPF, "jit"), "rbpf jit": (RBPF, "jit"), "cranelift": (CRANELIFT, "cranelift")}

Times = dict[str, dict[str, float]]
"""Compiler → program → ms."""


def loaded(insns: Instructions) -> Program:
    """Check and lower an XDP program, which is no part of compiling it. Raises Missing where there is no compiler."""
    from ebpf.codegen.compiler import available
    from ebpf.vm.program import LoadRequest, load_program

    obstacle = available()
    if obstacle is not None:
        raise Missing(obstacle)
    log: list[str] = []
    request = LoadRequest(type=ProgramType.XDP, insns=insns.encode("little"), license="GPL", map_by_fd=_no_maps)
    return load_program(request, log.append)


def _no_maps(fd: int) -> Map:
    raise LookupError(f"synthetic programs have no maps, not even {fd}")


def compile_once(program: Program, tier: str) -> None:
    """Compile with all checks to machine code, past any cache: the one place that knows the compiler's entry."""
    from ebpf.codegen.compiler import Tier
    from ebpf.vm.jit.compiled import compile_program

    compile_program(program, tier=Tier(tier))


def run(effort: Effort) -> Section:
    """Compile each program several times, and let the peers do it, too."""
    section = Section("compile")
    times: Times = {}
    with suppress(Missing):
        compile_once(loaded(synthetic(LENGTHS[0], SHAPES[0])), TIERS[0])  # imports the compiler, once
    missing: dict[str, str] = {}
    compilers = _compilers()
    for number_of_round in range(effort.rounds):
        for (name, compile_ms), length, shape in product(compilers.items(), LENGTHS, SHAPES):
            if name in missing or (length != LENGTHS[0] and number_of_round % 4):  # those take seconds each
                continue
            try:
                taken = compile_ms(length, shape)
            except Missing as error:
                missing[name] = str(error)
                continue
            row = times.setdefault(name, {})
            label = _label(length, shape)
            row[label] = min(taken, row.get(label, taken))  # what disturbs a compile only adds
    section.tables = [_table(times, missing)]
    section.figures = _figures(times, missing)
    section.data = dict(times)
    return section


def _compilers() -> dict[str, Callable[[int, Shape], float]]:
    """Return, by name, what compiles a program of a length and shape and says how many ms that took."""
    ours: dict[str, Callable[[int, Shape], float]] = {f"jit, {tier} tier": partial(_ours, tier) for tier in TIERS}
    return ours | {name: partial(_peer, *peer) for name, peer in _PEERS.items()}


def _ours(tier: str, length: int, shape: Shape) -> float:
    program = loaded(synthetic(length, shape))
    start = time.thread_time_ns()
    compile_once(program, tier)
    return (time.thread_time_ns() - start) / 1e6


def _peer(peer: Peer, engine: str, length: int, shape: Shape) -> float:
    bytecode = synthetic(length, shape, context="user").encode("little")
    with closing(PeerSubject(peer, engine, bytecode, frame())) as subject:
        return subject.compile_ns / 1e6


def _label(length: int, shape: str) -> str:
    return f"{length:,} {shape}"


def _table(times: Times, missing: dict[str, str]) -> Table:
    programs = [_label(length, shape) for length, shape in product(LENGTHS, SHAPES)]
    table = Table("Compile time, ms, the least of several", ("compiler", *programs))
    for name, row in times.items():
        table.rows.append((name, *(number(row.get(program)) for program in programs)))
    table.notes = [f"{name}: not available: {why}" for name, why in missing.items()]
    table.notes.append(
        "uBPF's and rbpf's JIT translate instruction by instruction, without checks; loading is in their time"
    )
    return table


def _figures(times: Times, missing: dict[str, str]) -> list[Figure]:
    figures = []
    for (tier, shape), bar in BARS_MS.items():
        name = f"jit, {tier} tier"
        value = times.get(name, {}).get(_label(LENGTHS[0], shape))
        label = f"compile {_label(LENGTHS[0], shape)}, {tier} tier"
        figures.append(Figure(label, bar, " ms", value, missing=missing.get(name, "")))
    light = f"jit, {TIERS[0]} tier"
    for shape in SHAPES:
        small, large = (times.get(light, {}).get(_label(length, shape)) for length in LENGTHS)
        growth = large / small if small and large else None
        label = f"compile {LENGTHS[1]:,} {shape} over {LENGTHS[0]:,}, light tier"
        figures.append(Figure(label, GROWTH, "×", growth, missing=missing.get(light, "")))
    return figures
