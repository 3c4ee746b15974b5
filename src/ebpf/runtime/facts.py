"""The descriptions that pass through the waist: what runs, what a run takes, and what came of it.

They are immutable, so that threads may share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import ProgramType
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.abi.types import AttachType, MapType
    from ebpf.runtime.handle import Handle


GROWTH = 1 << 16
"""Room for what a program may add to its packet. Too little would be ENOSPC after the program has run."""

RUN_ON_CPU = 1
"""BPF_F_TEST_RUN_ON_CPU: run on the CPU of the member `cpu` (raw tracepoints)."""


class Limits(NamedTuple):
    """What an embedded kernel gives out before it answers with ENOMEM, EMFILE, E2BIG or a budget fault."""

    memory: int = 1 << 30
    handles: int = 1 << 16
    insns: int = 1_000_000
    budget: int = 1 << 26


class MapFacts(NamedTuple):
    """What a map is, as far as input and output need it. Sizes in bytes; `handle` stays its owner's."""

    handle: Handle
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0


class ProgramFacts(NamedTuple):
    """What a program is, as far as running and attaching need it."""

    handle: Handle
    type: ProgramType
    name: str
    attach_type: AttachType | None = None


class Redirect(NamedTuple):
    """Where a program sent its packet.

    `helper` is the helper's name, `target` an ifindex or the map's id, `key` the map key.
    """

    helper: str
    target: int
    key: int | None
    flags: int


class RunResult(NamedTuple):
    """Outcome of one run. `retval` is unsigned 32 bits, `duration_ns` the mean of the repeats.

    `data` and `ctx` are what the program left behind; `redirect` is None where the runtime can't see it (linux).
    """

    retval: int
    data: bytes
    ctx: bytes
    duration_ns: int
    redirect: Redirect | None = None


class Form(NamedTuple):
    """What a type's test run takes: a packet, a context of its own in and out, repeats."""

    data: bool
    ctx_out: bool
    repeat: bool


_PACKET, _CONTEXT_IN = Form(True, True, True), Form(False, False, False)
_FORMS = {
    ProgramType.RAW_TRACEPOINT: _CONTEXT_IN,
    ProgramType.SYSCALL: _CONTEXT_IN,
    ProgramType.SK_LOOKUP: Form(False, True, True),
    ProgramType.TRACING: _CONTEXT_IN,
}


def form_of(kind: ProgramType) -> Form:
    """Return what a test run of this type takes."""
    return _FORMS.get(kind, _PACKET)
