"""The bitcode of the support library: for no target in particular, and what programs take from it does what it says."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

import pytest

from ebpf.abi.types import MapType
from ebpf.codegen.compiler import GENERIC_TARGETS, Tier, available, compile_ir, host_target
from ebpf.codegen.executable import Executable
from ebpf.codegen.image import ImageError, read_support, target_of_process
from ebpf.errors import NotSupportedError
from ebpf.vm.jit.maps import DECLARATIONS
from ebpf.vm.maps import MapShape, create_map
from ebpf.vm.maps.storage import BUCKET_MASK, BUCKETS, NODE_STRIDE, NODES, SEED, VARIABLE, native_storage
from ebpf.vm.memory import Region
from ebpf.vm.native import NativeState

if (MISSING := available()) is not None:
    pytest.skip(MISSING, allow_module_level=True)

NONE = (1 << 64) - 1
READ, WRITE = 1, 2
KEY_SIZES = (4, 8, 13)
_TABLE = "ptr %nodes, i64 %stride, ptr %buckets, i64 %mask, i64 %seed, ptr %key"
HASHES = "".join(
    f"define i64 @hash{size}({_TABLE}) {{\n  %r = call i64 @ebpf_hash_element({_TABLE}, i64 {size})\n  ret i64 %r\n}}\n"
    for size in KEY_SIZES
)
OTHERS = """
declare i64 @ebpf_find(ptr, i64, i64, i64)
define i64 @find(ptr %m, i64 %address, i64 %size, i64 %access) {
  %r = call i64 @ebpf_find(ptr %m, i64 %address, i64 %size, i64 %access)
  ret i64 %r
}
define i64 @array(ptr %key) {
  %r = call i64 @ebpf_array_element(i64 10, ptr %key)
  ret i64 %r
}
"""
USES = f"{DECLARATIONS}\n{HASHES}{OTHERS}"
ENTRIES = {"find": 4, "array": 1, **{f"hash{size}": 6 for size in KEY_SIZES}}


def on_host(tier: Tier) -> dict[str, Callable[..., int]]:
    """Return what uses the support library; it stays mapped."""
    try:
        flat = compile_ir(USES, target=host_target(), tier=tier, entries=ENTRIES, support=read_support())
    except ImageError as error:
        pytest.skip(str(error))
    base, word = Executable(flat.code).address, ctypes.c_uint64
    return {name: ctypes.CFUNCTYPE(word, *[word] * count)(base + flat.symbols[name]) for name, count in ENTRIES.items()}


@pytest.fixture(params=Tier, scope="module")
def native(request: pytest.FixtureRequest) -> dict[str, Callable[..., int]]:
    return on_host(request.param)


def test_for_no_target_in_particular() -> None:
    import llvmlite.binding as llvm

    with llvm.create_context() as context, llvm.parse_bitcode(read_support(), context) as module:
        text, names = str(module), {function.name for function in module.functions if not function.is_declaration}
        assert (module.triple, module.data_layout) == ("", "")
    for word in (
        "target-cpu",
        "target-features",
        "tune-cpu",
        "min-legal",
        "stack-protector",
        "frame-pointer",
        "uwtable",
    ):
        assert word not in text
    assert "module.flags" not in text
    assert "<2 x i64>" not in text
    assert text.count('"no-stack-arg-probe"') == text.count("\nattributes #") > 0
    assert names >= {"ebpf_find", "ebpf_array_element", "ebpf_hash_element"}
    assert 'source_filename = "inline.c"' in text


@pytest.mark.parametrize("tier", Tier)
@pytest.mark.parametrize("name", GENERIC_TARGETS)
def test_every_target_takes_it(name: str, tier: Tier, capfd: pytest.CaptureFixture[str]) -> None:
    flat = compile_ir(USES, target=GENERIC_TARGETS[name], tier=tier, entries=ENTRIES, support=read_support())
    assert flat.symbols.keys() == ENTRIES.keys()
    assert capfd.readouterr() == ("", "")


def test_what_is_not_used_goes_away() -> None:
    nothing = "define i64 @f(i64 %a) {\n  ret i64 %a\n}\n"
    for tier in Tier:
        flat = compile_ir(
            nothing, target=GENERIC_TARGETS["x86_64-sysv"], tier=tier, entries=["f"], support=read_support()
        )
        assert len(flat.code) <= 8


def test_find(native: dict[str, Callable[..., int]]) -> None:
    state, data = NativeState(), bytearray(range(20))
    region = Region("data", memoryview(data), 0, 20, readable=True, writable=False)
    number = 5
    state.enter(number, region, number + 1)
    start = ctypes.addressof(ctypes.c_char.from_buffer(data))
    for size in (1, 2, 4, 8):
        for offset in range(-2, 24):
            address, inside = (number << 32) + offset, 0 <= offset <= 20 - size
            found = native["find"](state.pointer.value, address, size, READ)
            assert found == (start + offset if inside else 0), (size, offset)
            assert native["find"](state.pointer.value, address, size, WRITE) == 0
            assert native["find"](state.pointer.value, address, size, READ | WRITE) == 0
    assert native["find"](state.pointer.value, 6 << 32, 1, READ) == 0


def test_array(native: dict[str, Callable[..., int]]) -> None:
    for index in (0, 9, 10, 0xFFFFFFFF):
        key = ctypes.create_string_buffer(struct.pack("<I", index))
        assert native["array"](ctypes.addressof(key)) == (index if index < 10 else NONE)


@pytest.mark.parametrize("size", KEY_SIZES)
def test_hash(native: dict[str, Callable[..., int]], size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "native")
    try:
        native_storage()
    except NotSupportedError as error:
        pytest.skip(str(error))
    table = create_map(MapShape(MapType.HASH, size, 8, 100))
    keys = [number.to_bytes(size, "little") for number in range(100)]
    for key in keys[:60]:
        table.update(key, key[:4] * 2, 0)
    words = [table.native.words[word] for word in (NODES, NODE_STRIDE, BUCKETS, BUCKET_MASK, SEED)]
    elements = {}
    for key in keys:
        buffer = ctypes.create_string_buffer(key, size)
        elements[key] = native[f"hash{size}"](*words, ctypes.addressof(buffer))
    assert sorted(elements[key] for key in keys[:60]) == list(range(1, 61))
    assert {elements[key] for key in keys[60:]} == {NONE}
    for key in keys[:60]:
        assert bytes(table.native.view(elements[key])) == key[:4] * 2


def test_host_is_one_of_the_targets() -> None:
    try:
        assert target_of_process() in GENERIC_TARGETS
    except ImageError as error:
        pytest.skip(str(error))
