"""Reading of helper arguments: each kind of argument is checked and turned into what the body works with.

A body gets memory as a live `memoryview` of exactly the promised size, keys and values as `bytes`, maps as `Map`,
the context as the run's context object, everything else as an unsigned 64-bit integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ebpf.abi.linux.prototypes import Arg
from ebpf.vm.fault import Fault
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map
from ebpf.vm.memory import OFFSET_BITS

Raw: TypeAlias = tuple[int, ...]
Reader: TypeAlias = Callable[[Run, Raw, int], Any]
"""Takes the run, all raw arguments and the index of the one to read."""

MAX_SIZE = 1 << 29
"""BPF_MAX_VAR_SIZ: sizes from here on are refused."""


def wrong(index: int, expected: str, value: int) -> Fault:
    """Return the fault for argument `index`, counted from 0."""
    return Fault("helper", f"argument {index + 1} is {value:#x}, expected {expected}", address=value)


def _scalar(run: Run, raw: Raw, index: int) -> int:
    return raw[index]


def _context(run: Run, raw: Raw, index: int) -> Any:
    if raw[index] != run.context.address:
        raise wrong(index, "the context", raw[index])
    return run.context


def _map(run: Run, raw: Raw, index: int) -> Map:
    map_ = run.memory.object_at(raw[index])
    if not isinstance(map_, Map):
        raise wrong(index, "a map", raw[index])
    return map_


def memory(run: Run, address: int, size: int, *, write: bool = False) -> memoryview:
    """Return `size` live bytes at `address`. A translated context is no memory: its layout is the kernel's own."""
    if size == 0 and address == 0:
        return memoryview(b"")
    if (
        run.context is not None
        and run.context.translated
        and address >> OFFSET_BITS == run.context.address >> OFFSET_BITS
    ):
        raise Fault("helper", "the context can't be passed as memory", address=address)
    return run.memory.view(address, size, write=write)


def _key(run: Run, raw: Raw, index: int) -> bytes:
    return memory(run, raw[index], _map(run, raw, 0).key_size).tobytes()


def _value(run: Run, raw: Raw, index: int) -> bytes:
    return memory(run, raw[index], _map(run, raw, 0).value_size).tobytes()


def _value_to_fill(run: Run, raw: Raw, index: int) -> memoryview:
    return memory(run, raw[index], _map(run, raw, 0).value_size, write=True)


def _size(raw: Raw, index: int) -> int:
    size = raw[index]
    if size >= MAX_SIZE:
        raise wrong(index, f"a size below {MAX_SIZE}", size)
    return size


def _some_size(run: Run, raw: Raw, index: int) -> int:
    if raw[index] == 0:
        raise wrong(index, "a size above 0", 0)
    return _size(raw, index)


def _any_size(run: Run, raw: Raw, index: int) -> int:
    return _size(raw, index)


def _memory(run: Run, raw: Raw, index: int) -> memoryview:
    return memory(run, raw[index], _size(raw, index + 1))


def _memory_to_fill(run: Run, raw: Raw, index: int) -> memoryview:
    return memory(run, raw[index], _size(raw, index + 1), write=True)


def _eight_bytes(run: Run, raw: Raw, index: int) -> memoryview:
    return memory(run, raw[index], 8, write=True)


def _constant_string(run: Run, raw: Raw, index: int) -> bytes:
    # The verifier wants a frozen map that programs can't write: the text can't change under the helper.
    address = raw[index]
    region = run.memory.region(address)
    map_ = region.map
    if map_ is None or map_.program_writable or not map_.frozen:
        raise wrong(index, "a string in a read-only, frozen map", address)
    text, end, _ = run.memory.view(address, run.memory.remaining(address)).tobytes().partition(b"\0")
    if not end:
        raise wrong(index, "a string that ends with a zero byte", address)
    return text


def _record(run: Run, raw: Raw, index: int) -> int:
    if raw[index] not in run.reservations:
        raise wrong(index, "a reserved record, not yet submitted or discarded", raw[index])
    return raw[index]


def _lock(run: Run, raw: Raw, index: int) -> int:
    address = raw[index]
    map_ = run.memory.region(address).map
    if map_ is None or map_.lock_offset is None or run.memory.find(address)[1] != map_.lock_offset:
        raise wrong(index, "the struct bpf_spin_lock of a map value", address)
    return address


READERS: dict[Arg, Reader] = {
    Arg.SCALAR: _scalar,
    Arg.CTX: _context,
    Arg.MAP: _map,
    Arg.MAP_KEY: _key,
    Arg.MAP_VALUE: _value,
    Arg.UNINIT_MAP_VALUE: _value_to_fill,
    Arg.PEEKED_MAP_VALUE: _value_to_fill,
    Arg.MEM: _memory,
    Arg.MEM_OR_NULL: _memory,
    Arg.UNINIT_MEM: _memory_to_fill,
    Arg.UNINIT_MEM_OR_NULL: _memory_to_fill,
    Arg.SIZE: _some_size,
    Arg.SIZE_OR_ZERO: _any_size,
    Arg.CALLBACK: _scalar,
    Arg.CALLBACK_CTX: _scalar,
    Arg.SPIN_LOCK: _lock,
    Arg.RINGBUF_RECORD: _record,
    Arg.CONST_STR: _constant_string,
    Arg.UNINIT_LONG: _eight_bytes,
}
"""Kind of argument → reader. A callback is checked by `Run.call`."""
