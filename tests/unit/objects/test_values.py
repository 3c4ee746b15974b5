"""Per-CPU lists, batches, and reading a verifier's log."""

from __future__ import annotations

import pickle
from array import array
from dataclasses import dataclass

import pytest

from ebpf.abi.linux.errtexts import TEXTS
from ebpf.abi.types import MapFlag, MapType, ProgramType
from ebpf.asm import Instructions
from ebpf.btf import ByteTuple
from ebpf.errors import MissingPrivilegeError, SystemCallError, VerifierError
from ebpf.objects.batch import join
from ebpf.objects.create import effective_spec
from ebpf.objects.percpu import PerCpu
from ebpf.objects.refusal import explain
from ebpf.objects.results import RunManyResult
from ebpf.spec import MapSpec, ProgramSpec


@dataclass(frozen=True)
class Counts:
    packets: int
    sizes: tuple[int, ...]


def test_sums() -> None:
    assert PerCpu([1, 2, 3]).sum() == 6
    assert PerCpu([1.5, 2]).sum() == 3.5
    assert PerCpu([Counts(1, (1, 2)), Counts(10, (3, 4))]).sum() == Counts(11, (4, 6))
    with pytest.raises(TypeError, match="bytes values have no sum"):
        PerCpu([b"a", b"b"]).sum()
    assert repr(PerCpu([1])) == "PerCpu([1])"


def test_a_sum_of_bytes_is_no_bytes() -> None:
    total = PerCpu([ByteTuple(b"\xff\1"), ByteTuple(b"\1\1")]).sum()
    assert total == (256, 2)
    assert type(total) is tuple


def test_batches() -> None:
    batch = join([b"abc", b"", b"de"])
    assert [bytes(record) for record in batch] == [b"abc", b"", b"de"]
    assert bytes(batch[-1]) == b"de"
    assert batch.data == b"abcde"
    assert repr(batch) == "<Batch of 3 records, 5 bytes>"
    assert repr(RunManyResult(array("I", [1, 2, 3]), batch.lengths, batch)) == "<RunManyResult of 3 packets, 5 bytes>"
    with pytest.raises(IndexError):
        batch[3]
    assert len(join([])) == 0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MapSpec("m", MapType.PERF_EVENT_ARRAY, 0, 0, 0), (4, 4, 8)),
        (MapSpec("m", MapType.PERF_EVENT_ARRAY, 4, 4, 1000), (4, 4, 8)),
        (MapSpec("m", MapType.PERF_EVENT_ARRAY, 4, 4, 2), (4, 4, 2)),
        (MapSpec("m", MapType.CPUMAP, 4, 8, 64), (4, 8, 8)),
        (MapSpec("m", MapType.HASH_OF_MAPS, 4, 8, 5), (4, 4, 5)),
        (MapSpec("m", MapType.RINGBUF, 4, 8, 4096), (0, 0, 4096)),
        (MapSpec("m", MapType.QUEUE, 4, 8, 5), (0, 8, 5)),
        (MapSpec("m", MapType.HASH, 4, 8, 5), (4, 8, 5)),
    ],
)
def test_what_objects_leave_open_is_filled_in(spec: MapSpec, expected: tuple[int, int, int]) -> None:
    before = spec.copy()
    made = effective_spec(spec, cpus=8)
    assert (made.key_size, made.value_size, made.max_entries) == expected
    assert spec == before


def test_tries_are_never_preallocated() -> None:
    assert effective_spec(MapSpec("m", MapType.LPM_TRIE, 8, 8, 5), cpus=1).flags == MapFlag.NO_PREALLOC


LOG = """func#0 @0
0: R1=ctx() R10=fp0
; int n = *(int *)ctx->data; @ a.c:5
0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(r=0)
1: (61) r0 = *(u32 *)(r1 +0)
invalid access to packet, off=0 size=4, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def refusal(log: str, errno: int = 13, cls: type[SystemCallError] = SystemCallError) -> BaseException:
    error = cls(f"refused: {TEXTS[errno]}", cmd="PROG_LOAD", errno=errno, errno_name="EACCES")
    error.log = log  # type: ignore[attr-defined]  # as load_program() of the runtime does
    spec = ProgramSpec("filter", ProgramType.XDP, Instructions.from_asm("r0 = 0\nexit"))
    return explain(spec, error)


def test_the_reason_is_found_in_the_log() -> None:
    error = refusal(LOG)
    assert isinstance(error, VerifierError)
    assert error.summary == (
        "invalid access to packet, off=0 size=4, R1(id=0,off=0,r=0): R1 offset is outside of the packet"
    )
    assert error.insn == 1
    assert error.source == "int n = *(int *)ctx->data; @ a.c:5"
    assert error.registers == {"R1": "pkt(r=0)"}
    assert error.log == LOG
    assert pickle.loads(pickle.dumps(error)).registers == error.registers


def test_without_a_log_the_errno_speaks() -> None:
    error = refusal("", errno=7)
    assert not isinstance(error, VerifierError)
    assert "load program filter (XDP)" in str(error)
    assert "it has 2 instructions" in str(error)


def test_a_missing_privilege_stays_one() -> None:
    error = refusal("", errno=1, cls=MissingPrivilegeError)
    assert isinstance(error, MissingPrivilegeError)
    assert "while loading program filter" in error.__notes__
