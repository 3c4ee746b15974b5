"""How much memory a process holds that has loaded one program and run it a thousand times."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from benchmarks.engines import PEERS
from benchmarks.errors import Missing
from benchmarks.measure import Effort
from benchmarks.peers import PeerSubject
from benchmarks.process import child
from benchmarks.programs import BENCHMARKS
from benchmarks.section import Section
from benchmarks.table import Table, number

RUNS = 1000
_PROGRAM = "pktparse"


def run(_: Effort) -> Section:
    """Measure once: memory does not depend on the neighbours."""
    benchmark = next(one for one in BENCHMARKS if one.name == _PROGRAM)
    section = Section("memory")
    table = Table(f"Memory: MB held after {RUNS:,} runs of {_PROGRAM}", ("process", "MB", "over bare"))
    bare = child("bare", Path(), "none").rss_mb
    sizes: dict[str, float | None] = {"bare import ebpf": bare}
    for engine in ("jit", "interpreter", "reference"):
        try:
            sizes[engine] = child("object", benchmark.xdp(), engine, repeat=RUNS).rss_mb
        except Missing as missing:
            table.notes.append(f"{engine}: not available: {missing}")
    for peer in PEERS:
        try:
            subject = peer.start(benchmark)
        except Missing as missing:
            table.notes.append(f"{peer.name}: not available: {missing}")
            continue
        assert isinstance(subject, PeerSubject)
        with closing(subject):
            subject.sample(RUNS)
            sizes[peer.name] = _resident(subject.process.pid)
    for name, size in sizes.items():
        over = (
            size - bare
            if size is not None and bare is not None and name in ("jit", "interpreter", "reference")
            else None
        )
        table.rows.append((name, number(size), number(over)))
    section.tables, section.data = [table], dict(sizes)
    return section


def _resident(pid: int) -> float | None:
    """Return VmRSS of a process in MB (proc(5), status); None where there is no such file."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kilobytes) * 1024 / 1e6
