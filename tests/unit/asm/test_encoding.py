"""Instructions ⇄ bytes."""

from __future__ import annotations

import pickle
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.asm import Insn, Instructions, Reference, ReferenceKind
from ebpf.asm.instructions import ByteOrder
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, CALL, EXIT, LDIMM64
from ebpf.errors import AsmError
from tests.unit.asm.strategies import programs

ORDERS: tuple[ByteOrder, ...] = ("little", "big")


@pytest.mark.parametrize(
    ("insn", "little", "big"),
    [
        (Insn(0xB7, 1, 0, 0, 5), "b701000005000000", "b710000000000005"),
        (Insn(0x61, 1, 2, 4), "6121040000000000", "6112000400000000"),
        (Insn(0x7B, 10, 1, -8), "7b1af8ff00000000", "7ba1fff800000000"),
        (Insn(0x07, 3, 0, 0, -7), "07030000f9ffffff", "07300000fffffff9"),
        (
            Insn(0x18, 1, 0, 0, 0x123456789ABCDEF0),
            "18010000f0debc9a0000000078563412",
            "181000009abcdef00000000012345678",
        ),
        (
            Insn(0x18, 2, 2, 0, 8 << 32 | 5),
            "18220000050000000000000008000000",
            "18220000000000050000000000000008",
        ),
    ],
)
def test_layout(insn: Insn, little: str, big: str) -> None:
    for order, data in zip(ORDERS, (little, big), strict=True):
        assert Instructions([insn]).encode(order).hex() == data
        assert Instructions.decode(bytes.fromhex(data), order) == [insn]


@settings(max_examples=300)
@given(programs, st.sampled_from(ORDERS))
def test_encode_then_decode_gives_the_instructions(program: Instructions, order: ByteOrder) -> None:
    assert Instructions.decode(program.encode(order), order) == program


@given(st.binary(max_size=160), st.sampled_from(ORDERS))
def test_decode_then_encode_gives_the_bytes_or_decode_refuses(data: bytes, order: ByteOrder) -> None:
    data = data[: len(data) // 8 * 8]
    try:
        program = Instructions.decode(data, order)
    except AsmError:
        assert 0x18 in data[::8]
        return
    assert program.encode(order) == data


@given(programs)
def test_byte_orders_differ_only_in_the_order_of_bytes(program: Instructions) -> None:
    little, big = program.encode("little"), program.encode("big")
    for start in range(0, len(little), 8):
        opcode, registers, off, imm = struct.unpack_from("<BBhi", little, start)
        swapped = registers >> 4 | (registers & 15) << 4
        assert struct.unpack_from(">BBhi", big, start) == (opcode, swapped, off, imm)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("b7", "take 8 bytes each, found 1"),
        ("b70000000000000018", "take 8 bytes each, found 9"),
        ("1801000000000000", "instruction 0 .* lacks its second slot"),
        ("95000000000000001801000000000000", "instruction 1 .* lacks its second slot"),
        ("18010000000000000100000000000000", "more than an immediate"),
        ("18010000000000000001000000000000", "more than an immediate"),
        ("18010000000000000000010000000000", "more than an immediate"),
        ("18010000000000001801000000000000", "more than an immediate"),
    ],
)
def test_bytes_that_are_no_instructions(data: str, message: str) -> None:
    with pytest.raises(AsmError, match=message):
        Instructions.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("insn", "message"),
    [
        (Insn(256), "opcode must be 0 to 255, found 256"),
        (Insn(0xB7, 16), "dst must be 0 to 15, found 16"),
        (Insn(0xB7, -1), "dst must be 0 to 15, found -1"),
        (Insn(0xBF, 0, 17), "src must be 0 to 15, found 17"),
        (Insn(0xBF, 0, -1), "src must be 0 to 15, found -1"),
        (Insn(0x05, off=32768), "off must be -32768 to 32767, found 32768"),
        (Insn(0xB7, imm=1 << 31), "imm must be -2147483648 to 2147483647, found 2147483648"),
        (Insn(0x18, imm=-1), "imm must be 0 to 18446744073709551615, found -1"),
        (Insn(0x18, imm=1 << 64), "imm must be 0 to"),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_fields_that_do_not_fit(insn: Insn, message: str, order: ByteOrder) -> None:
    with pytest.raises(AsmError, match=f"instruction 1: {message}"):
        Instructions([Insn(EXIT), insn]).encode(order)


def test_unknown_byte_order() -> None:
    with pytest.raises(AsmError, match="'little' or 'big', found 'middle'"):
        Instructions().encode("middle")  # type: ignore[arg-type]  # what a caller without types may pass


def test_slots_count_both_halves() -> None:
    program = Instructions([Insn(0xB7), Insn(LDIMM64), Insn(LDIMM64), Insn(EXIT)])
    assert program.slots == 6
    assert [program.raw_offset(index) for index in range(5)] == [0, 1, 3, 5, 6]
    assert program.raw_offsets() == [0, 1, 3, 5]


def test_parts_and_copies_are_instructions_too() -> None:
    program = Instructions([Insn(0xB7), Insn(LDIMM64), Insn(EXIT)])
    for part in (program[1:], program.copy()[1:], pickle.loads(pickle.dumps(program))[1:]):
        assert isinstance(part, Instructions)
        assert part.slots == 3
    copied = program.copy()
    copied.append(Insn(EXIT))
    assert len(program) == 3


def test_decode_takes_any_buffer() -> None:
    data = bytes.fromhex("9500000000000000")
    for buffer in (data, bytearray(data), memoryview(data), memoryview(data).cast("Q")):
        assert Instructions.decode(buffer) == [Insn(EXIT)]
    assert Instructions.decode(b"") == []


def test_functions_are_resolved_by_symbol_at_each_encode() -> None:
    call = Insn(CALL, imm=-1, reference=Reference(ReferenceKind.FUNCTION, "twice"))
    pointer = Insn(LDIMM64, 2, reference=Reference(ReferenceKind.FUNCTION_POINTER, "main"))
    program = Instructions(
        [Insn(0xB7, symbol="main"), call, pointer, Insn(EXIT), Insn(0xBF, symbol="twice"), Insn(EXIT)]
    )
    decoded = Instructions.decode(program.encode())
    assert (decoded[1].src, decoded[1].imm) == (BPF_PSEUDO_CALL, 3)
    assert (decoded[2].src, decoded[2].imm) == (BPF_PSEUDO_FUNC, 0xFFFFFFFD)

    linked = program.linked()
    assert linked == decoded
    assert [insn.reference for insn in linked] == [insn.reference for insn in program]
    assert program[1] == call

    program.insert(2, Insn(LDIMM64))
    decoded = Instructions.decode(program.encode())
    assert (decoded[1].imm, decoded[3].imm) == (5, 0xFFFFFFFB)


def test_other_references_go_to_resolve() -> None:
    insn = Insn(LDIMM64, 1, BPF_PSEUDO_MAP_FD, reference=Reference(ReferenceKind.MAP, "events"))
    program = Instructions([insn, Insn(EXIT)])
    seen = []

    def resolve(insn: Insn) -> Insn:
        seen.append(insn)
        return Insn(insn.opcode, insn.dst, insn.src, imm=7)

    assert Instructions.decode(program.encode(resolve=resolve))[0].imm == 7
    assert seen == [insn]
    assert seen[0].reference is insn.reference
    assert Instructions.decode(program.encode())[0] == insn


def test_a_function_of_another_list_goes_to_resolve() -> None:
    call = Insn(CALL, src=BPF_PSEUDO_CALL, imm=-1, reference=Reference(ReferenceKind.FUNCTION, "elsewhere"))
    encoded = Instructions([call]).encode(resolve=lambda insn: Insn(CALL, 0, BPF_PSEUDO_CALL, 0, 99))
    assert Instructions.decode(encoded)[0].imm == 99


def test_resolve_must_keep_the_size() -> None:
    insn = Insn(LDIMM64, reference=Reference(ReferenceKind.MAP, "events"))
    with pytest.raises(AsmError, match="instruction 0 takes 2 slots, its replacement 1"):
        Instructions([insn]).encode(resolve=lambda _: Insn(0xB7))


def test_a_symbol_defined_twice() -> None:
    call = Insn(CALL, reference=Reference(ReferenceKind.FUNCTION, "f"))
    program = Instructions([call, Insn(EXIT, symbol="f"), Insn(EXIT, symbol="f")])
    with pytest.raises(AsmError, match="symbol f is defined by instructions 1 and 2"):
        program.encode()
    named = program[1:]
    assert named.encode() == named.linked().encode()  # nobody asks which of the two is meant


def test_only_calls_and_pointers_refer_to_functions() -> None:
    jump = Insn(0x05, reference=Reference(ReferenceKind.FUNCTION, "f"))
    with pytest.raises(AsmError, match="found opcode 0x05"):
        Instructions([jump, Insn(EXIT, symbol="f")]).encode()


def test_decoding_is_fast() -> None:
    # 100,000 slots take about 0.1 s on a laptop; ten times that is a mistake, not a slow machine.
    data = b"".join(struct.pack("<BBhi", 0xB7, n % 10, n % 1000, n) for n in range(100_000))
    started = time.process_time()
    program = Instructions.decode(data)
    elapsed = time.process_time() - started
    assert len(program) == 100_000
    assert elapsed < 1.0
