"""From a plan to code: phrases, jumps over phrases, loops around them, functions behind one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.isa.case import EXIT, slot
from tests.stage.run import Script
from tests.valid import arithmetic, calls
from tests.valid.arithmetic import number
from tests.valid.calls import check_packet
from tests.valid.code import CALLED, load, map_value, mask, move, put, store, store_constant
from tests.valid.draft import KINDS, MOST_FUNCTIONS, Draft, Plan
from tests.valid.frame import CONTEXT, NUMBERS, OUT, PACKET, STORES, VALUE, Frame
from tests.valid.wrong import wrong

_CONDITIONS = [op << 4 for op in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13)]
_MAIN_NUMBERS, _NUMBERS = 128, 32
BUDGET = 100_000

_WEIGHTS: dict[Callable[[Frame, Draft], bytes], int] = {
    arithmetic.arithmetic: 12, arithmetic.byte_order: 2, arithmetic.constant: 2, arithmetic.stack: 3,
    arithmetic.stack_by_index: 2, arithmetic.callers_stack: 2, arithmetic.value: 2, arithmetic.value_by_index: 2,
    arithmetic.moved_value: 1, arithmetic.atomic: 3, arithmetic.ordered: 1, arithmetic.packet: 2,
    arithmetic.packet_by_index: 2, arithmetic.context: 2, arithmetic.spilled: 1, calls.lookup: 3, calls.update: 3,
    calls.queue: 2, calls.output: 1, calls.record: 1, calls.nested: 1, calls.call: 2, calls.loop: 1, calls.each: 1,
    calls.tail_call: 1, calls.change_packet: 1, calls.packet_load: 1, calls.processor: 1,
}  # fmt: skip
_PHRASES = [phrase for phrase, weight in _WEIGHTS.items() for _ in range(weight)]
_JUMP, _LOOP, _MAY_GOTO = range(len(_PHRASES), len(_PHRASES) + 3)
"""The kinds behind those of phrases; what is left over are jumps."""
assert _MAY_GOTO < KINDS


@dataclass
class _Body:
    """A function's code in pieces, and where jumps between them lead: piece → piece."""

    pieces: list[bytes] = field(default_factory=list)
    jumps: dict[int, int] = field(default_factory=dict)

    def code(self) -> bytes:
        """Put the pieces together; a jump is the last instruction of its piece."""
        places = [sum(len(piece) for piece in self.pieces[:at]) // 8 for at in range(len(self.pieces) + 1)]
        done = []
        for at, piece in enumerate(self.pieces):
            if at in self.jumps:
                distance = places[self.jumps[at]] - places[at + 1]
                opcode, registers, _, imm = piece[-8], piece[-7], piece[-6:-4], piece[-4:]
                last = slot(opcode, registers & 15, registers >> 4, distance, int.from_bytes(imm, "little"))
                if opcode == 0x06:
                    last = slot(opcode, imm=distance)
                piece = piece[:-8] + last
            done.append(piece)
        return b"".join(done)


def _condition(draft: Draft) -> bytes:
    by_register, narrow = draft.choice & 1, draft.choice >> 1 & 1
    opcode = _CONDITIONS[draft.choice // 4 % 11] | (6 if narrow else 5) | (8 if by_register else 0)
    src, imm = (number(draft.src), 0) if by_register else (0, draft.imm)
    return slot(opcode, number(draft.dst), src, 1, imm)


def _may_goto(draft: Draft) -> bytes:
    """A loop that ends after a few rounds; may_goto would end it, too."""
    rounds = put(2, 0)
    body = slot(0xE5, off=3) + slot(0x0F, 0, 2) + slot(0x07, 2, imm=1) + slot(0xA5, 2, off=-4, imm=1 + draft.choice % 6)
    return rounds + body


def _body(frame: Frame, drafts: tuple[Draft, ...], start: bytes, end: bytes, fault: tuple[int, int] | None) -> bytes:
    body = _Body([start])
    open_loop: tuple[int, int] | None = None  # the piece where it begins, and how many phrases it goes around
    for at, draft in enumerate(drafts):
        if fault is not None and fault[1] == at:
            body.pieces.append(wrong(frame, fault[0]))
        kind = draft.kind
        if kind < len(_PHRASES):
            body.pieces.append(_PHRASES[kind](frame, draft))
        elif kind == _LOOP and open_loop is None:
            body.pieces.append(store_constant(8, 10, frame.counter, 1 + draft.choice % 4))
            open_loop = len(body.pieces), 1 + draft.choice // 4 % 4
            continue
        elif kind == _MAY_GOTO:
            body.pieces.append(_may_goto(draft))
        else:
            _jump(body, draft, at, len(drafts))
        if open_loop is not None:
            open_loop = open_loop[0], open_loop[1] - 1
            if open_loop[1] == 0:
                _close(body, frame, open_loop[0])
                open_loop = None
    if open_loop is not None:
        _close(body, frame, open_loop[0])
    if fault is not None and fault[1] >= len(drafts):
        body.pieces.append(wrong(frame, fault[0]))
    body.pieces.append(end)
    body.jumps = {at: min(to, len(body.pieces) - 1) for at, to in body.jumps.items()}
    return body.code()


def _jump(body: _Body, draft: Draft, at: int, phrases: int) -> None:
    """A jump over the next pieces: conditional, or a long one that a condition goes around."""
    here = len(body.pieces)
    over = 1 + draft.choice // 64 % 4
    around = draft.choice >> 12 & 3
    if around == 0:
        body.pieces.append(_condition(draft) + slot(0x06))
    elif around == 1:
        body.pieces.append(_condition(draft) + slot(0x05))
    else:
        body.pieces.append(_condition(draft))
    body.jumps[here] = here + 1 + over


def _close(body: _Body, frame: Frame, start: int) -> None:
    count = load(8, 1, 10, frame.counter) + slot(0x07, 1, imm=-1) + store(8, 10, frame.counter, 1)
    body.jumps[len(body.pieces)] = start
    body.pieces.append(count + slot(0x65, 1, off=0, imm=0))


def _main(plan: Plan, drafts: tuple[Draft, ...], fault: tuple[int, int] | None, seed: int) -> bytes:
    frame = Frame(plan.type, _MAIN_NUMBERS, 2, main=True)
    start = move(CONTEXT, 1) + store(8, 10, frame.context, 1) + frame.fill(seed) + frame.clear() + check_packet(frame)
    start += map_value(VALUE, OUT)
    start += b"".join(load(8 >> at % 3, register, PACKET, at) for at, register in enumerate(NUMBERS))
    keep = b"".join(store(8, VALUE, 8 * at, register) for at, register in enumerate(NUMBERS))
    return _body(frame, drafts, start, keep + EXIT, fault)


def _function(plan: Plan, number_: int) -> bytes:
    frame = Frame(plan.type, _NUMBERS, 1 if number_ == 0 else 0)
    start = move(6, 1) + move(PACKET, 3) + move(8, 2) + store(8, 10, frame.context, 5)
    start += frame.fill(number_) + frame.clear() + map_value(VALUE, OUT) + move(0, 4) + frame.refill(1, 3, 5)
    return _body(frame, plan.functions[number_], start, EXIT, None)


def _callback(plan: Plan, number_: int, *, elements: bool) -> bytes:
    frame = Frame(plan.type, _NUMBERS, 0, callback=True)
    start = move(6, 4 if elements else 2)
    # An element: its key and its value are read, the value is changed.
    start += load(4, 8, 2, 0) + load(8, 0, 3, 0) + store(8, 3, 8, 8) if elements else move(8, 1) + put(0, 3)
    start += frame.fill(number_) + frame.clear() + map_value(VALUE, OUT) + frame.refill(1, 2, 3, 4, 5)
    return _body(frame, plan.callbacks[number_], start, mask(0, 1) + EXIT, None)


def _functions(plan: Plan) -> list[bytes]:
    """Return what may be called, by the numbers that calls have: functions, callbacks of loops and of elements."""
    return [
        *(_function(plan, at) for at in range(MOST_FUNCTIONS)),
        *(_callback(plan, at, elements=False) for at in range(MOST_FUNCTIONS)),
        *(_callback(plan, at, elements=True) for at in range(MOST_FUNCTIONS)),
    ]


def _calls(code: bytes) -> dict[int, int]:
    """Find calls and function pointers: slot → number of the function."""
    found = {}
    for at in range(0, len(code), 8):
        imm = int.from_bytes(code[at + 4 : at + 8], "little")
        if code[at] in (0x85, 0x18) and code[at + 1] >> 4 in (1, 4) and imm >= CALLED:
            found[at // 8] = imm - CALLED
    return found


def link(main: bytes, functions: list[bytes]) -> tuple[bytes, tuple[int, ...]]:
    """Put the functions that are called behind the main program; return the code and where each function begins."""
    order: list[int] = []
    pending = list(_calls(main).values())
    while pending:
        number_ = pending.pop(0)
        if number_ not in order:
            order.append(number_)
            pending += _calls(functions[number_]).values()
    code, starts = main, {}
    for number_ in order:
        starts[number_] = len(code) // 8
        code += functions[number_]
    linked = bytearray(code)
    for at, number_ in _calls(code).items():
        linked[8 * at + 4 : 8 * at + 8] = (starts[number_] - at - 1).to_bytes(4, "little", signed=True)
    return bytes(linked), (0, *starts.values())


def script_of(plan: Plan, *, cpus: int = 1) -> Script:
    """Return what is to be run."""
    code, functions = link(_main(plan, plan.main, plan.fault, 1), _functions(plan))
    # A target without functions: calls in it become accesses to the stack.
    target = _main(plan, tuple(draft for draft in plan.target if not _calls(_phrase(plan, draft))), None, 2)
    return Script(
        code=code,
        type=plan.type,
        stores=STORES,
        slots={0: target},
        functions=functions if len(functions) > 1 else (),
        data=plan.packet,
        budget=BUDGET,
        cpus=cpus,
    )


def _phrase(plan: Plan, draft: Draft) -> bytes:
    frame = Frame(plan.type, _MAIN_NUMBERS, 2, main=True)
    return _PHRASES[draft.kind](frame, draft) if draft.kind < len(_PHRASES) else b""
