"""Maps in native storage as LLVM IR: look-ups that become part of the program, values that are named directly.

The shapes of maps are constants of the code; where their memory is stands in struct code. Everything else that helpers
do is called in the support library, or is the host's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ebpf.abi.linux.functions import BPF_FUNC_SPIN_LOCK
from ebpf.abi.types import MapType
from ebpf.asm.opcodes import CALL
from ebpf.vm import native
from ebpf.vm.jit.state import CODE_MAPS, MAP_REFERENCE_SIZE, WORD, member
from ebpf.vm.machine import STACK_SIZE
from ebpf.vm.maps import storage

if TYPE_CHECKING:
    from ebpf.vm.jit.function import FunctionCompiler
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program

ARRAY_ELEMENT, HASH_ELEMENT = "ebpf_array_element", "ebpf_hash_element"
DECLARATIONS = f"declare i64 @{ARRAY_ELEMENT}(i64, ptr)\ndeclare i64 @{HASH_ELEMENT}(ptr, i64, ptr, i64, i64, ptr, i64)"
TABLES = {"nodes": storage.NODES, "buckets": storage.BUCKETS, "mask": storage.BUCKET_MASK, "seed": storage.SEED}
"""Words of the structure of a hash table that never change."""
_ARRAYS = (MapType.ARRAY, MapType.PERCPU_ARRAY)
_HASHES = (MapType.HASH, MapType.PERCPU_HASH)


def key_sizes(program: Program) -> dict[int, int]:
    """Return the key sizes of the maps in which look-ups are compiled, by index.

    A program that takes spin locks may not look up while it holds one, which the host looks after.
    """
    if any(slot.opcode == CALL and slot.src == 0 and slot.imm == BPF_FUNC_SPIN_LOCK for slot in program.lowered):
        return {}
    kinds = (*_ARRAYS, *_HASHES)
    maps = enumerate(program.maps)
    return {index: map_.key_size for index, map_ in maps if map_.native is not None and map_.type in kinds}


def describe(map_: Map) -> str:
    """Return what compiled code takes for constant of a map."""
    shape = map_.shape
    sizes = (shape.key_size, shape.value_size, shape.max_entries, shape.flags, map_.cpus)
    kept = map_.native
    strides = "python" if kept is None else (kept.stride, kept.shift, kept.words[storage.NODE_STRIDE])
    return f"{int(map_.type)} {sizes} {strides}"


def lookup(compiler: FunctionCompiler, at: int, index: int, key: int) -> None:
    """Write a look-up in map `index` of the key at offset `key` of the frame: r0 is the element's address, or 0."""
    writer, map_ = compiler.writer, compiler.module.program.maps[index]
    kept = map_.native
    assert kept is not None  # or the look-up would not be compiled
    bytes_of_key = compiler.pointer("%stack", STACK_SIZE + key)
    if map_.type in _ARRAYS:
        element = writer.value(f"call i64 @{ARRAY_ELEMENT}(i64 {map_.max_entries}, ptr {bytes_of_key})")
    else:
        nodes, buckets, mask, seed = compiler.regions.map_tables(index)
        table = f"ptr {nodes}, i64 {kept.words[storage.NODE_STRIDE]}, ptr {buckets}, i64 {mask}, i64 {seed}"
        arguments = f"{table}, ptr {bytes_of_key}, i64 {map_.key_size}"
        element = writer.value(f"call i64 @{HASH_ELEMENT}({arguments})")
    found = writer.value(f"icmp ne i64 {element}, -1")
    if map_.per_cpu:
        first = writer.value(f"mul i64 {element}, {map_.cpus}")
        cpu = writer.value(f"load i64, ptr {compiler.machine(native.CPU)}")
        element = writer.value(f"add i64 {first}, {cpu}")
    shifted = writer.value(f"shl i64 {element}, {kept.shift}")
    address = writer.value(f"add nuw i64 {compiler.regions.map_word(index, native.REFERENCE_VALUES)}, {shifted}")
    distance = writer.value(f"mul i64 {element}, {kept.stride}")
    host = writer.value(f"getelementptr i8, ptr {compiler.regions.map_values(index)}, i64 {distance}")
    compiler.regions.keep_element(at, found, address, host)
    writer.write(0, writer.value(f"select i1 {found}, i64 {address}, i64 0"))


def pointers(indices: list[int], hashes: Collection[int]) -> Iterator[str]:
    """Return the lines that load, at the beginning of a function, where maps and the tables of hashes are."""
    if not indices:
        return
    yield f"%code.p = getelementptr i8, ptr %m, i64 {member(native.CODE)}"
    yield "%code = load ptr, ptr %code.p"
    yield f"%maps.p = getelementptr i8, ptr %code, i64 {CODE_MAPS}"
    yield "%maps = load ptr, ptr %maps.p"
    for index in indices:
        name = f"%map{index}"
        for word in range(native.REFERENCE_WORDS):
            kind = "ptr" if word == native.REFERENCE_MAP else "i64"
            yield f"{name}.{word}.p = getelementptr i8, ptr %maps, i64 {index * MAP_REFERENCE_SIZE + word * WORD}"
            # Addresses of values have the highest bit, so none of them is null.
            known = ", !range !60" if word in (native.REFERENCE_VALUES, native.REFERENCE_FIRST) else ""
            yield f"{name}.{word} = load {kind}, ptr {name}.{word}.p{known}"
        for member_name, word in {"values": storage.VALUES, **(TABLES if index in hashes else {})}.items():
            kind = "i64" if word in (storage.BUCKET_MASK, storage.SEED) else "ptr"
            yield f"{name}.{member_name}.p = getelementptr i8, ptr {name}.{native.REFERENCE_MAP}, i64 {WORD * word}"
            yield f"{name}.{member_name} = load {kind}, ptr {name}.{member_name}.p"
