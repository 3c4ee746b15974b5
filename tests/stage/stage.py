"""Maps and programs made in a kernel, any kernel, by way of bpf(); and what the maps hold."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from struct import unpack_from
from types import TracebackType
from typing import Any, TypeAlias

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.asm import Insn, Instructions, assemble
from ebpf.btf import Btf, Builder, encode_func_info
from ebpf.btf.kind import FuncLinkage
from ebpf.errors import KeyNotFoundError
from ebpf.runtime import Handle, Runtime
from ebpf.runtime.attrs import BtfLoad, MapCreate, MapElem, ProgLoad
from ebpf.runtime.facts import MapFacts
from ebpf.vm.maps import MapShape

Contents: TypeAlias = list[list[str]]
"""Keys and values in hexadecimal, sorted by key; of a ring its records, each with what became of it."""

_BY_INDEX = {1: 5, 2: 6}
"""How an instruction names a map: by descriptor → by place in fd_array (BPF_PSEUDO_MAP_IDX and …_IDX_VALUE)."""
_QUEUES = (MapType.QUEUE, MapType.STACK)
_OPAQUE = (
    MapType.PROG_ARRAY, MapType.BLOOM_FILTER, MapType.ARRAY_OF_MAPS, MapType.PERF_EVENT_ARRAY, MapType.DEVMAP,
)  # fmt: skip
_BUSY, _DISCARD = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Store:
    """A map and its first elements. `inner` names the map that an array of maps has at index 0.

    A lock offset in the shape makes types with a `struct bpf_spin_lock` there.
    """

    shape: MapShape
    elements: tuple[tuple[bytes, bytes], ...] = ()
    inner: str = ""
    frozen: bool = False

    @property
    def name(self) -> str:
        return self.shape.name


def by_index(text: str, stores: Sequence[Store]) -> Instructions:
    """Assemble; `map[name]` becomes a reference to the place of that map among `stores`."""
    names = [store.name for store in stores]

    def resolve(insn: Insn) -> Insn:
        if insn.reference is None or insn.opcode != 0x18 or insn.src not in _BY_INDEX:
            return insn
        imm = insn.imm & ~0xFFFFFFFF | names.index(insn.reference.name)
        return insn._replace(src=_BY_INDEX[insn.src], imm=imm, reference=None)

    return Instructions(resolve(insn) for insn in assemble(text))


class Stage:
    """Makes the maps; closes everything it made at the end of its block."""

    def __init__(self, runtime: Runtime, stores: Sequence[Store]) -> None:
        self.runtime = runtime
        self.maps: dict[str, MapFacts] = {}
        self._stack = ExitStack()
        self._types: Btf | None = None
        try:
            for store in stores:
                self.maps[store.name] = self._create(store)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _own(self, number: int) -> Handle:
        return self._stack.enter_context(closing(self.runtime.own(number)))

    def number(self, handle: Handle) -> int:
        """Return the descriptor of something on this stage, which stays open as long as it."""
        return self._stack.enter_context(handle.borrow())

    def _create(self, store: Store) -> MapFacts:
        shape = store.shape
        attr = MapCreate(
            map_type=shape.type, key_size=shape.key_size, value_size=shape.value_size, max_entries=shape.max_entries,
            map_flags=shape.flags, map_name=shape.name.encode(),
        )  # fmt: skip
        if store.inner:
            attr.inner_map_fd = self.number(self.maps[store.inner].handle)
        if shape.lock_offset is not None:
            self._add_lock(attr, shape)
        handle = self._own(self.runtime.bpf(Cmd.MAP_CREATE, attr))
        facts = MapFacts(
            handle, shape.type, shape.key_size, shape.value_size, shape.max_entries, MapFlag(shape.flags)
        )  # fmt: skip
        for key, value in store.elements:
            self.runtime.map_io(facts).update(key, value)
        if store.inner:
            self.place(facts, 0, self.maps[store.inner].handle)
        if store.frozen:
            self.runtime.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=self.number(handle)))
        return facts

    def _add_lock(self, attr: MapCreate, shape: MapShape) -> None:
        builder = Builder()
        u32 = builder.add_int("unsigned int", 4)
        lock = builder.add_struct("bpf_spin_lock", 4, [("val", u32, 0)])
        assert shape.lock_offset is not None
        value = builder.add_struct("value", shape.value_size, [("lock", lock, 8 * shape.lock_offset)])
        attr.btf_fd, attr.btf_key_type_id, attr.btf_value_type_id = self._load_types(builder.build()), u32, value

    def _load_types(self, types: Btf) -> int:
        data = types.encode()
        return self.number(self._own(self.runtime.bpf(Cmd.BTF_LOAD, BtfLoad(btf=data, btf_size=len(data)))))

    def place(self, array_map: MapFacts, index: int, handle: Handle) -> None:
        """Put a program or a map into a slot of an array of them."""
        key, value = index.to_bytes(4, "little"), self.number(handle).to_bytes(4, "little")
        self.runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=self.number(array_map.handle), key=key, value=value))

    def load(
        self,
        code: bytes,
        type_: ProgramType,
        *,
        name: str = "main",
        attach_type: AttachType | None = None,
        functions: Sequence[int] = (),
    ) -> Handle:
        """Load code whose maps are references by index. `functions` are the slots of all, where BTF has to name them.

        Raises SystemCallError as the kernel does.
        """
        numbers = array("i", [self.number(facts.handle) for facts in self.maps.values()])
        attr = ProgLoad(
            prog_type=type_, insns=code, insn_cnt=len(code) // 8, license=b"GPL", prog_name=name.encode(),
            expected_attach_type=attach_type or 0, prog_flags=16 if type_ == ProgramType.SYSCALL else 0,
        )  # fmt: skip
        if numbers:
            attr.fd_array = numbers.tobytes()
        if functions:
            types = _types_of(len(functions))
            rows = [(slot, _FIRST_FUNCTION + place) for place, slot in enumerate(functions)]
            attr.prog_btf_fd = self._load_types(types)
            attr.func_info, attr.func_info_cnt = encode_func_info(rows, types), len(rows)
            attr.func_info_rec_size = 8
        return self._own(self.runtime.bpf(Cmd.PROG_LOAD, attr))

    def contents(self) -> dict[str, Contents]:
        """Return what the maps hold. Queues are empty and rings read afterwards."""
        return {name: self._contents(facts) for name, facts in self.maps.items() if facts.type not in _OPAQUE}

    def _contents(self, facts: MapFacts) -> Contents:
        if facts.type == MapType.RINGBUF:
            return _records(self.runtime, facts)
        io = self.runtime.map_io(facts)
        found: Contents = []
        if facts.type in _QUEUES:
            while (value := _taken(io)) is not None:
                found.append(["", value.hex()])
            return found
        key = None
        while (key := io.next_key(key)) is not None:
            found.append([key.hex(), io.lookup(key).hex()])
        return sorted(found)


def _taken(io: Any) -> bytes | None:
    try:
        value: bytes = io.lookup_and_delete(b"")
    except KeyNotFoundError:
        return None
    return value


def _records(runtime: Runtime, facts: MapFacts) -> Contents:
    with closing(runtime.open_ring(facts)) as ring:
        found: Contents = []
        at, end = ring.consumer(), ring.producer()
        while at < end:
            place = at % ring.size
            word = unpack_from("<I", ring.data, place)[0]
            size = word & ~(_BUSY | _DISCARD)
            state = "busy" if word & _BUSY else "discarded" if word & _DISCARD else "submitted"
            found.append([state, bytes(ring.data[place + 8 : place + 8 + size]).hex()])
            at += (size + 8 + 7) & ~7
        ring.set_consumer(at)
        return found


_FIRST_FUNCTION = 3


def _types_of(count: int) -> Btf:
    """Return types of so many static functions: the kernel wants them where a callback's address is taken."""
    builder = Builder()
    returns = builder.add_int("int", 4, signed=True)
    prototype = builder.add_func_proto(returns)
    for number in range(count):
        linkage = FuncLinkage.STATIC if number else FuncLinkage.GLOBAL
        assert builder.add_func(f"f{number}", prototype, linkage=linkage) == _FIRST_FUNCTION + number
    return builder.build()
