"""What native code finds in struct machine about the run that it takes part in."""

from __future__ import annotations

import ctypes
from typing import cast

import pytest

from ebpf.abi.types import ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.vm.context import PlainContext, SkbContext, XdpContext
from ebpf.vm.engines import choose_engine
from ebpf.vm.helpers.dispatch import call_helper
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.memory import OFFSET_BITS, PLACES, AddressSpace
from ebpf.vm.native import CONTEXT, MASK, NOWHERE, PACKET, NativeState
from ebpf.vm.program import LoadRequest, load_program

WATCH = 5
"""ktime_get_ns, which the tests replace."""
FRAME = bytes(range(64))


@pytest.fixture(autouse=True)
def _native() -> None:
    if choose_engine().name == "reference":
        pytest.skip("needs an engine that is native code")


def region(address: int) -> tuple[int, bytes] | None:
    """First address and readable bytes of a struct region; None for an empty one."""
    first, data, readable = (ctypes.c_uint64 * 3).from_address(address)
    if not first:
        return None
    return first, ctypes.string_at(data, readable & 0xFFFFFFFF) if data else b""


Seen = tuple[tuple[int, bytes] | None, tuple[int, bytes] | None]


def watch(text: str, type_: ProgramType, context: XdpContext | SkbContext | PlainContext) -> list[Seen]:
    """Run a program; return context and packet as native code has them after each call of a helper."""
    seen: list[Seen] = []
    code = Instructions.from_asm(text).encode()
    program = load_program(LoadRequest(type=type_, insns=code, license="GPL"), lambda line: None)
    run = Run(program, cast("Kernel", None), context=context)

    def helper(run: Run, number: int, arguments: tuple[int, int, int, int, int]) -> int:
        result = 0 if number == WATCH else call_helper(run, number, arguments)
        words = cast("NativeState", run.memory.mirror).words
        seen.append((region(words[CONTEXT]), region(words[PACKET])))
        return result

    choose_engine().execute(run, context.attach(run.memory), helper=helper)
    return seen


def test_context_and_packet_follow_a_frame_that_moves() -> None:
    frame = XdpContext(FRAME)
    seen = watch("r6 = r1\ncall 5\nr1 = r6\nr2 = 4\ncall 44\nr0 = 0\nexit", ProgramType.XDP, frame)
    (_, before), (context, after) = seen
    assert context == (frame.address, bytes(frame.fields))
    assert before == (2 << OFFSET_BITS | 256, FRAME)
    # Region 3 is the stack.
    assert after == (4 << OFFSET_BITS | 260, FRAME[4:])


def test_context_and_packet_of_a_socket_buffer() -> None:
    skb = SkbContext(FRAME)
    seen = watch("call 5\nr0 = 0\nexit", ProgramType.SCHED_CLS, skb)
    assert seen == [((skb.address, bytes(skb.fields)), (2 << OFFSET_BITS | skb.data, FRAME))]


def test_an_empty_packet_has_a_place_and_no_bytes() -> None:
    skb = SkbContext(b"")
    assert watch("call 5\nr0 = 0\nexit", ProgramType.SCHED_CLS, skb)[0][1] == (2 << OFFSET_BITS | skb.data, b"")


def test_a_plain_context_has_no_packet() -> None:
    arguments = PlainContext(bytearray(FRAME), writable=True)
    assert watch("call 5\nr0 = 0\nexit", ProgramType.SYSCALL, arguments) == [((1 << OFFSET_BITS, FRAME), None)]
    assert watch("call 5\nr0 = 0\nexit", ProgramType.SYSCALL, PlainContext(bytearray(), writable=True)) == [
        (None, None)
    ]


def test_both_are_found_again_in_a_larger_table() -> None:
    frame, memory = XdpContext(FRAME), AddressSpace()
    state = memory.mirror = NativeState()
    frame.attach(memory)
    before = state.words[MASK]
    for _ in range(PLACES):
        memory.add(bytearray(8), "value")
    assert state.words[MASK] > before
    assert region(state.words[CONTEXT]) == (frame.address, bytes(frame.fields))
    assert region(state.words[PACKET]) == (2 << OFFSET_BITS | 256, FRAME)
    state.clear()
    assert state.words[CONTEXT] == state.words[PACKET] == NOWHERE
