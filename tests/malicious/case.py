"""One hostile program: its text, what it runs on, and how it has to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ebpf.abi.types import AttachType, MapFlag, MapType, ProgramType
from ebpf.vm.maps import MapShape
from tests.stage.run import Script
from tests.stage.stage import Store, by_index

BAD = "bad"
"""Label of the instruction that must fault."""

ANY = -1
"""A result that does not matter: addresses differ by engine, the end of the run does not."""


def _array(name: str, *, flags: int = 0, content: bytes = b"", frozen: bool = False, lock: int | None = None) -> Store:
    shape = MapShape(MapType.ARRAY, 4, 64, 1, flags, name=name, lock_offset=lock)
    return Store(shape, ((bytes(4), content.ljust(64, b"\0")),) if content else (), frozen=frozen)


_PAIRS = ((b"\1\0\0\0", b"one".ljust(16, b"\0")), (b"\2\0\0\0", b"two".ljust(16, b"\0")))

STORES = (
    _array("out"),
    Store(MapShape(MapType.ARRAY, 4, 16, 4, name="array")),
    _array("ro", flags=int(MapFlag.RDONLY_PROG), content=b"read only", frozen=True),
    _array("wo", flags=int(MapFlag.WRONLY_PROG)),
    _array("locked", lock=4),
    Store(MapShape(MapType.ARRAY, 4, 13, 3, name="odd")),
    Store(MapShape(MapType.HASH, 3, 5, 4, name="oddhash"), ((b"key", b"value"),)),
    Store(MapShape(MapType.HASH, 4, 16, 4, name="hash"), _PAIRS),
    Store(MapShape(MapType.LRU_HASH, 4, 16, 2, name="lru"), _PAIRS),
    Store(MapShape(MapType.PERCPU_ARRAY, 4, 16, 2, name="percpu")),
    Store(MapShape(MapType.PERCPU_HASH, 4, 16, 4, name="pchash")),
    Store(MapShape(MapType.QUEUE, 0, 8, 2, name="queue"), ((b"", b"queued!!"),)),
    Store(MapShape(MapType.STACK, 0, 8, 2, name="stack"), ((b"", b"stacked!"),)),
    Store(MapShape(MapType.BLOOM_FILTER, 0, 8, 4, name="bloom")),
    Store(MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring")),
    Store(MapShape(MapType.PROG_ARRAY, 4, 4, 4, name="progs")),
    Store(MapShape(MapType.ARRAY_OF_MAPS, 4, 4, 2, name="outer"), inner="array"),
    Store(MapShape(MapType.LPM_TRIE, 8, 8, 4, int(MapFlag.NO_PREALLOC), name="trie")),
    Store(MapShape(MapType.DEVMAP, 4, 4, 2, name="devices")),
    Store(MapShape(MapType.PERF_EVENT_ARRAY, 4, 4, 2, name="events")),
)
"""Every map that a program may name."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program and its end: a fault at label `bad`, a 32-bit result, or an errno of PROG_LOAD or of the test run.

    With a fault and a result either will do: what an address of an earlier run means depends on how maps are stored.
    `slots` are programs for the program array `progs`; the label may be in one of them. `bare` programs are run as
    the conformance command does, with `memory` at r1: without maps, and without what only Linux forbids. `out` is
    what the map `out` must begin with afterwards.
    """

    name: str
    text: str
    fault: str = ""
    value: int | None = None
    errno: int = 0
    type: ProgramType = ProgramType.XDP
    attach_type: AttachType | None = None
    slots: Mapping[int, str] = field(default_factory=dict)
    data: bytes = bytes(range(64))
    ctx: bytes | None = None
    repeat: int = 1
    budget: int = 20_000
    bare: bool = False
    memory: bytes = b""
    out: bytes | None = None
    group: str = ""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"

    @cached_property
    def bad(self) -> tuple[str, int] | None:
        """Program and slot of the instruction that must fault; None where no single one does."""
        texts = {"main": self.text, **{f"slot{index}": text for index, text in self.slots.items()}}
        for name, text in texts.items():
            slot = 0
            for insn in by_index(text, STORES):
                if insn.symbol == BAD:
                    return name, slot
                slot += insn.slots
        return None

    @property
    def repeatable(self) -> bool:
        """Whether its type of program can be run more than once in one call."""
        return not self.bare and self.type not in (ProgramType.SYSCALL, ProgramType.RAW_TRACEPOINT)

    def script(self) -> Script:
        """Return what is to be run, with no more maps than the programs name."""
        texts = (self.text, *self.slots.values())
        named = {store.name for store in STORES if any(f"map[{store.name}]" in text for text in texts)}
        if self.slots:
            named.add("progs")
        stores = tuple(store for store in STORES if store.name in named | _inner(named))
        return Script(
            code=by_index(self.text, stores).encode(),
            type=self.type,
            attach_type=self.attach_type,
            stores=stores,
            slots={index: by_index(text, stores).encode() for index, text in self.slots.items()},
            data=self.data,
            ctx=self.ctx,
            repeat=self.repeat,
            budget=self.budget,
        )


def _inner(named: set[str]) -> set[str]:
    return {store.inner for store in STORES if store.inner and store.name in named}


def faults(kind: str, texts: Mapping[str, str], **options: Any) -> list[Case]:
    """Return programs by name that must end with that kind of fault, at their label `bad` if they have one."""
    return [Case(name=name, fault=kind, text=text, **options) for name, text in texts.items()]


def returns(texts: Mapping[str, tuple[int, str]], **options: Any) -> list[Case]:
    """Return programs by name that must come to their end with that result, ANY for whatever."""
    return [Case(name=name, value=value, text=text, **options) for name, (value, text) in texts.items()]


def refused(errno: int, texts: Mapping[str, str], **options: Any) -> list[Case]:
    """Return programs by name that must not be loaded."""
    return [Case(name=name, errno=errno, text=text, **options) for name, text in texts.items()]
