"""From a plan to code: phrases, jumps over phrases, loops around them, functions behind one another."""

from __future__ import annotations

from collections.abc import Callable

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


class _Body:
    """A function's code in pieces, where jumps between them lead, and the loop that is open."""

    def __init__(self, frame: Frame, start: bytes) -> None:
        self.frame = frame
        self.pieces = [start]
        self.jumps: dict[int, int] = {}
        self._loop: int | None = None
        """The piece where the open loop begins."""
        self._left = 0
        """Phrases that the loop is still to go around."""

    def add(self, draft: Draft) -> None:
        """Add what a draft stands for."""
        if draft.kind < len(_PHRASES):
            self.pieces.append(_PHRASES[draft.kind](self.frame, draft))
        elif draft.kind == _LOOP and self._loop is None:
            self._open(draft)
            return
        elif draft.kind == _MAY_GOTO:
            self.pieces.append(_may_goto(draft))
        else:
            self._jump(draft)
        self._left -= 1
        if self._left == 0:
            self._close()

    def finish(self, end: bytes) -> bytes:
        """Put the pieces together; a jump is the last instruction of its piece."""
        self._close()
        self.pieces.append(end)
        places = [sum(len(piece) for piece in self.pieces[:at]) // 8 for at in range(len(self.pieces))]
        for at, to in self.jumps.items():
            after = places[at] + len(self.pieces[at]) // 8
            self.pieces[at] = _aimed(self.pieces[at], places[min(to, len(places) - 1)] - after)
        return b"".join(self.pieces)

    def _open(self, draft: Draft) -> None:
        self.pieces.append(store_constant(8, 10, self.frame.counter, 1 + draft.choice % 4))
        self._loop, self._left = len(self.pieces), 1 + draft.choice // 4 % 4

    def _close(self) -> None:
        if self._loop is None:
            return
        counter = self.frame.counter
        count = load(8, 1, 10, counter) + slot(0x07, 1, imm=-1) + store(8, 10, counter, 1)
        self.jumps[len(self.pieces)] = self._loop
        self.pieces.append(count + slot(0x65, 1, off=0, imm=0))
        self._loop = None

    def _jump(self, draft: Draft) -> None:
        """A jump over the next pieces: conditional, or one of the others that a condition goes around."""
        here = len(self.pieces)
        others = {0: slot(0x06), 1: slot(0x05)}
        self.pieces.append(_condition(draft) + others.get(draft.choice >> 12 & 3, b""))
        self.jumps[here] = here + 2 + draft.choice // 64 % 4


def _aimed(piece: bytes, distance: int) -> bytes:
    """Set the distance of the jump at the end of a piece."""
    opcode, registers, imm = piece[-8], piece[-7], int.from_bytes(piece[-4:], "little")
    if opcode == 0x06:
        return piece[:-8] + slot(opcode, imm=distance)
    return piece[:-8] + slot(opcode, registers & 15, registers >> 4, distance, imm)


def _condition(draft: Draft) -> bytes:
    by_register, narrow = draft.choice & 1, draft.choice >> 1 & 1
    opcode = _CONDITIONS[draft.choice // 4 % 11] | (6 if narrow else 5) | (8 if by_register else 0)
    src, imm = (number(draft.src), 0) if by_register else (0, draft.imm)
    return slot(opcode, number(draft.dst), src, 1, imm)


def _may_goto(draft: Draft) -> bytes:
    """A loop that ends after a few rounds; may_goto would end it, too."""
    body = slot(0xE5, off=3) + slot(0x0F, 0, 2) + slot(0x07, 2, imm=1) + slot(0xA5, 2, off=-4, imm=1 + draft.choice % 6)
    return put(2, 0) + body


def _body(frame: Frame, drafts: tuple[Draft, ...], start: bytes, end: bytes, fault: tuple[int, int] | None) -> bytes:
    body = _Body(frame, start)
    for at, draft in enumerate(drafts):
        if fault is not None and fault[1] == at:
            body.pieces.append(wrong(frame, fault[0]))
        body.add(draft)
    if fault is not None and fault[1] >= len(drafts):
        body.pieces.append(wrong(frame, fault[0]))
    return body.finish(end)


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
