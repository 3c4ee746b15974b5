"""bpf() with members of all sizes and numbers: errors are SystemCallError, and nothing is left when all is closed."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from typing import Any

import pytest

from ebpf.abi.types import AttachType, Cmd, MapType, ProgramType
from ebpf.btf import Builder
from ebpf.errors import EbpfError
from ebpf.runtime.attrs import (
    RECORDS,
    Attr,
    BtfLoad,
    GetId,
    LinkCreate,
    LinkUpdate,
    MapBatch,
    MapCreate,
    MapElem,
    ObjInfo,
    ObjPin,
    ProgBindMap,
    ProgLoad,
    ProgQuery,
    ProgTestRun,
    RawTracepointOpen,
)
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits
from tests.isa.case import EXIT, slot
from tests.unit.embedded_programs import kernel

M, A, P = MapType, AttachType, ProgramType
NUMBERS = (0, 1, 2, 3, 4, 8, 16, 40, 64, 255, 256, 4096, 65535, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SHAPES = {
    M.HASH: (4, 8), M.ARRAY: (4, 8), M.PROG_ARRAY: (4, 4), M.PERF_EVENT_ARRAY: (4, 4), M.PERCPU_HASH: (4, 8),
    M.PERCPU_ARRAY: (4, 12), M.LRU_HASH: (4, 8), M.LPM_TRIE: (8, 8), M.ARRAY_OF_MAPS: (4, 4), M.HASH_OF_MAPS: (4, 4),
    M.DEVMAP: (4, 4), M.DEVMAP_HASH: (4, 8), M.CPUMAP: (4, 4), M.XSKMAP: (4, 4), M.QUEUE: (0, 8), M.STACK: (0, 8),
    M.RINGBUF: (0, 0), M.BLOOM_FILTER: (0, 8),
}  # fmt: skip
PROGRAMS = (P.XDP, P.XDP, P.SCHED_CLS, P.SYSCALL, P.CGROUP_SKB, P.RAW_TRACEPOINT, P.SOCKET_FILTER)
HOOKS = (A.XDP, A.TCX_INGRESS, A.CGROUP_INET_INGRESS)
BATCHES = (Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_LOOKUP_AND_DELETE_BATCH, Cmd.MAP_UPDATE_BATCH, Cmd.MAP_DELETE_BATCH)
ELEMENTS = (
    Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_UPDATE_ELEM, Cmd.MAP_UPDATE_ELEM, Cmd.MAP_GET_NEXT_KEY, Cmd.MAP_DELETE_ELEM,
    Cmd.MAP_LOOKUP_AND_DELETE_ELEM, Cmd.MAP_FREEZE,
)  # fmt: skip


class Caller:
    """Makes calls that are nearly right, on objects that it made by others."""

    def __init__(self, runtime: EmbeddedRuntime, seed: int, types: bytes) -> None:
        self.runtime = runtime
        self.choose = random.Random(seed)
        self.types = types
        self.numbers: list[int] = []

    def number(self) -> int:
        return self.choose.choice(self.numbers) if self.numbers else 1

    def memory(self, size: int) -> bytearray:
        data = bytearray(self.choose.choice([bytes(size), self.choose.randbytes(size)]))
        if size >= 4 and self.choose.random() < 0.5:
            data[:4] = self.choose.choice([self.number(), self.choose.randrange(4)]).to_bytes(4, "little")
        return data

    def attr(self) -> tuple[Cmd, Attr]:
        """Return a call that may well succeed."""
        pick = self.choose.choice
        kind = pick(list(SHAPES))
        key_size, value_size = SHAPES[kind]
        code = slot(0x18, 1, 1, imm=self.number()) + slot(0) + slot(0xB7, imm=1) + EXIT
        btf = bytearray(self.types)
        if self.choose.random() < 0.5:
            btf[self.choose.randrange(len(btf))] = self.choose.randrange(256)
        packet = bytes(64)
        calls: list[tuple[Cmd, Attr]] = [
            (Cmd.MAP_CREATE, MapCreate(
                map_type=kind, key_size=key_size, value_size=value_size, map_name=b"m", inner_map_fd=self.number(),
                max_entries=4096 if kind == M.RINGBUF else pick((1, 4, 100)), map_flags=int(kind == M.LPM_TRIE))),
            (Cmd.PROG_LOAD, ProgLoad(
                prog_type=pick(PROGRAMS), insns=code, insn_cnt=4, license=b"GPL", log_level=1, log_size=500,
                log_buf=bytearray(500))),
            (pick(ELEMENTS), MapElem(map_fd=self.number(), key=pick((None, self.memory(4), self.memory(8))),
                                     value=self.memory(64), flags=pick((0, 0, 1, 2, 4)))),
            (pick(BATCHES), MapBatch(
                map_fd=self.number(), in_batch=pick((None, self.memory(8))), out_batch=bytearray(8),
                keys=self.memory(40), values=self.memory(160), count=pick((1, 2, 5)))),
            (Cmd.PROG_TEST_RUN, ProgTestRun(
                prog_fd=self.number(), data_in=packet, data_size_in=64, data_out=bytearray(99), data_size_out=99)),
            (Cmd.LINK_CREATE, LinkCreate(prog_fd=self.number(), target_fd=pick((0, 1)), attach_type=pick(HOOKS))),
            (Cmd.LINK_UPDATE, LinkUpdate(link_fd=self.number(), new_prog_fd=self.number())),
            (Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sched_switch", prog_fd=self.number())),
            (pick((Cmd.OBJ_PIN, Cmd.OBJ_GET)), ObjPin(pathname=b"/a", bpf_fd=pick((0, self.number())))),
            (Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=self.number(), info=bytearray(232), info_len=232)),
            (Cmd.MAP_GET_FD_BY_ID, GetId(start_id=self.choose.randrange(6))),
            (Cmd.PROG_QUERY, ProgQuery(target_fd=1, attach_type=pick(HOOKS), prog_ids=bytearray(64), count=16)),
            (Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=self.number(), map_fd=self.number())),
            (Cmd.BTF_LOAD, BtfLoad(btf=btf, btf_size=len(btf))),
        ]  # fmt: skip
        return pick(calls)

    def spoil(self, attr: Attr) -> None:
        """Change a member: any number that fits, any buffer."""
        name, member = self.choose.choice(list(attr.MEMBERS.items()))
        value: Any = None
        if member.kind == "int" and member.tagged is not None:
            value = self.choose.randrange(100)
        elif member.kind == "int" and (name, self.choose.random() < 0.9) != ("repeat", True):
            value = self.choose.choice([n for n in NUMBERS if n <= member.most])
            value = self.number() if "fd" in name and member.least == 0 and self.choose.random() < 0.5 else value
        elif member.kind == "int":
            value = 1
        elif member.kind in ("pointer", "string", "name"):
            value = self.memory(self.choose.choice([0, 3, 4, 8, 16, 5000]))
            value = bytes(value) if member.kind == "name" else self.choose.choice([None, value])
        setattr(attr, name, b"" if value is None and member.kind == "name" else value)

    def step(self) -> str:
        """Make one call; return how it ended."""
        cmd, attr = self.attr()
        for _ in range(self.choose.choice([0, 0, 1, 2])):
            self.spoil(attr)
        if isinstance(attr, ProgTestRun):
            attr.repeat = min(attr.repeat, 5)
        try:
            number = self.runtime.bpf(cmd, attr)
        except EbpfError as error:
            return type(error).__name__
        if number:
            self.numbers.append(number)
        if len(self.numbers) > 12:
            self.runtime.state.handles.close(self.numbers.pop(self.choose.randrange(8)))
        return cmd.name


@pytest.fixture(scope="module")
def types() -> bytes:
    builder = Builder()
    number = builder.add_int("int", 4, signed=True)
    builder.add_struct("pair", 8, [("a", number, 0), ("b", number, 32)])
    return builder.build().raw


@pytest.mark.parametrize("block", range(4))
def test_calls_with_wrong_members(block: int, types: bytes) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(40 * block, 40 * block + 40):
        limits = Limits(memory=1 << 18, budget=5000, handles=20)
        with kernel(cpus=2, seed=1, limits=limits) as runtime:
            caller = Caller(runtime, seed, types)
            outcomes.update(caller.step() for _ in range(300))
            runtime._others.release_pins()
            runtime.state.handles.close_all()
            assert not any(runtime.state.registry._tables.values())
            assert runtime.state.memory_used == 0
    assert {"SystemCallError", "MAP_CREATE", "PROG_LOAD", "PROG_TEST_RUN", "BTF_LOAD"} <= outcomes.keys()


@pytest.mark.parametrize("cmd", RECORDS, ids=lambda cmd: cmd.name)
def test_empty_calls(cmd: Cmd) -> None:
    with kernel() as runtime:
        with contextlib.suppress(EbpfError):
            runtime.bpf(cmd, RECORDS[cmd]())
        runtime.state.handles.close_all()
        assert runtime.state.memory_used == 0


def test_numbers_have_to_fit() -> None:
    with kernel() as runtime:
        for wrong in (-1, 1 << 32):
            with pytest.raises(ValueError, match=r"MapCreate\.max_entries = .* does not fit 4 bytes"):
                runtime.bpf(Cmd.MAP_CREATE, MapCreate(map_type=M.ARRAY, key_size=4, value_size=4, max_entries=wrong))
        with pytest.raises(ValueError, match="path_fd"):
            runtime.bpf(Cmd.OBJ_GET, ObjPin(path_fd=1 << 31))
