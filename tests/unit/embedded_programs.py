"""Shortcuts of the embedded kernel's tests: small maps and programs, with handles that close themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ebpf.abi.types import Cmd, MapFlag, MapType, ProgramType
from ebpf.asm import Instructions
from ebpf.runtime.attrs import MapCreate, ProgLoad
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits, MapFacts, ProgramFacts
from ebpf.runtime.handle import Handle

__all__ = ["Limits", "created", "kernel", "load", "ring_program"]


@contextmanager
def kernel(**options: object) -> Iterator[EmbeddedRuntime]:
    """A kernel for the length of a block."""
    runtime = EmbeddedRuntime(**options)  # type: ignore[arg-type]
    try:
        yield runtime
    finally:
        runtime.close()


def created(
    runtime: EmbeddedRuntime,
    type_: MapType,
    key_size: int,
    value_size: int,
    entries: int,
    flags: int = 0,
    inner: int = 0,
) -> MapFacts:
    """Make a map."""
    attr = MapCreate(
        map_type=type_,
        key_size=key_size,
        value_size=value_size,
        max_entries=entries,
        map_flags=flags,
        inner_map_fd=inner,
    )
    handle = runtime.own(runtime.bpf(Cmd.MAP_CREATE, attr))
    return MapFacts(handle, type_, key_size, value_size, entries, MapFlag(flags))


def load(runtime: EmbeddedRuntime, text: str, type_: ProgramType = ProgramType.XDP, **maps: MapFacts) -> ProgramFacts:
    """Load assembly; `{name}` in it stands for the number of a map."""
    numbers = {}
    for name, facts in maps.items():
        with facts.handle.borrow() as fd:
            numbers[name] = fd
    code = Instructions.from_asm(text.format(**numbers)).encode()
    attr = ProgLoad(prog_type=type_, insns=code, insn_cnt=len(code) // 8, license=b"GPL")
    handle: Handle = runtime.own(runtime.bpf(Cmd.PROG_LOAD, attr))
    return ProgramFacts(handle, type_, "program")


def ring_program(runtime: EmbeddedRuntime, ring: MapFacts) -> ProgramFacts:
    """An XDP program that puts 64 bytes into a ring buffer and returns what the helper returned, plus 2."""
    return load(
        runtime,
        """
        r1 = 0
        *(u64 *)(r10 - 8) = r1
        *(u64 *)(r10 - 16) = r1
        *(u64 *)(r10 - 24) = r1
        *(u64 *)(r10 - 32) = r1
        *(u64 *)(r10 - 40) = r1
        *(u64 *)(r10 - 48) = r1
        *(u64 *)(r10 - 56) = r1
        *(u64 *)(r10 - 64) = r1
        r1 = map_fd[{ring}] ll
        r2 = r10
        r2 += -64
        r3 = 64
        r4 = 0
        call bpf_ringbuf_output
        r0 += 2
        exit
        """,
        ring=ring,
    )
