"""Attach by what a program's section says: `Collection.attach()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpf.abi.types import AttachType, ProgramType
from ebpf.errors import NotSupportedError
from ebpf.link.cgroup import cgroup
from ebpf.link.link import Link
from ebpf.link.links import Links
from ebpf.link.packets import Source, packets
from ebpf.link.raw_tracepoint import raw_tracepoint
from ebpf.link.socket_filter import socket_filter
from ebpf.link.tcx import tcx
from ebpf.link.tracepoint import tracepoint
from ebpf.link.xdp import xdp

if TYPE_CHECKING:
    import os

    from ebpf.objects import Collection, Program


@dataclass(frozen=True, slots=True)
class Packets:
    """A target of `Collection.attach()`: feed the program from here; the members are those of `link.packets()`.

    Immutable; threads may share it as far as they may share `source`.
    """

    source: Source
    sink: str | os.PathLike[str] | None = None
    lossless: bool = True


@dataclass(frozen=True, slots=True)
class _Way:
    """How a type of program attaches. `needs` says what a target is, None where the section names it."""

    attach: Callable[[Program, Any], Link]
    needs: str | None = None


_CGROUP = _Way(cgroup, "the directory of a cgroup")
_WAYS = {
    ProgramType.XDP: _Way(xdp, "a network interface"),
    ProgramType.SCHED_CLS: _Way(tcx, "a network interface"),
    ProgramType.SOCKET_FILTER: _Way(socket_filter, "a socket"),
    ProgramType.TRACEPOINT: _Way(tracepoint),
    ProgramType.RAW_TRACEPOINT: _Way(raw_tracepoint),
    ProgramType.RAW_TRACEPOINT_WRITABLE: _Way(raw_tracepoint),
    ProgramType.CGROUP_SKB: _CGROUP,
    ProgramType.CGROUP_SOCK: _CGROUP,
    ProgramType.CGROUP_SOCK_ADDR: _CGROUP,
    ProgramType.CGROUP_SOCKOPT: _CGROUP,
    ProgramType.CGROUP_SYSCTL: _CGROUP,
    ProgramType.CGROUP_DEVICE: _CGROUP,
    ProgramType.SOCK_OPS: _CGROUP,
}
# They attach through a map or another program, never by themselves.
_PASSIVE = frozenset({AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP})


def target_needed(type_: ProgramType) -> str | None:
    """Say what a target of this type of program is ("a network interface"); None where the section can name it."""
    way = _WAYS.get(type_)
    return None if way is None else way.needs


def attach_by_section(program: Program, *, target: Any = None) -> Link:
    """Attach a program to the hook that its section names.

    `target` is what sections can't say: the interface of an XDP or tc program, a cgroup's directory, a socket; or
    `Packets`. For a tracepoint it overrides the section. Raises ValueError that says what is missing,
    NotSupportedError for types that this version can't attach.
    """
    if isinstance(target, Packets):
        return packets(program, target.source, sink=target.sink, lossless=target.lossless)
    way = _WAYS.get(program.type)
    if way is None or program.attach_type in _PASSIVE:
        raise NotSupportedError(
            f"attaching program {program.name} of type {program.type.label} by its section",
            alternative="leave it out with autoload=False in the spec, or run it with Program.run()",
        )
    chosen = target if target is not None or way.needs else program.attach_to or None
    if chosen is None:
        needs = way.needs or "the name of a tracepoint"
        raise ValueError(
            f"program {program.name} (section {program.section!r}) needs {needs}: "
            f"give attach(targets={{{program.name!r}: …}})"
        )
    return way.attach(program, chosen)


def attach_collection(collection: Collection, *, targets: Mapping[str, Any]) -> Links:
    """Attach every program of a collection; see `Collection.attach()`."""
    unknown = set(targets) - set(collection.programs)
    if unknown:
        raise ValueError(f"targets names {', '.join(sorted(unknown))}; the collection has no such program")
    links: list[Link] = []
    with ExitStack() as undo:
        for name, program in collection.programs.items():
            link = attach_by_section(program, target=targets.get(name))
            undo.callback(link.close)
            links.append(link)
        undo.pop_all()
    return Links(links)
