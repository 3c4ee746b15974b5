"""The function that the host calls as it calls the interpreter: with the machine, set to ENTER one of the program's.

The main program is nearly always the outermost frame, and that way is short. Callbacks have a function of their own
behind it; what is in neither is the interpreter's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ebpf.vm import native
from ebpf.vm.jit.state import FRAME_SIZE, WORD, member
from ebpf.vm.native import NO_CALLER, Action, Stop

ENTRY = "ebpf_entry"
RESULT = "{ i64, i64, i64 }"
_NESTED = "nested"


def write_entry(callbacks: Sequence[int], *, convention: str, asks: bool, kernel_helpers: bool) -> Iterator[str]:
    """Return the lines.

    `callbacks` are first slots. `asks`: the program may ask the host, which changes the depth. `kernel_helpers`: some
    helpers are part of the code, so that the host may have no others.
    """
    yield f"define {convention} i64 @{ENTRY}(ptr %m) {{"
    yield from _load("depth", native.DEPTH)
    yield from _load("at", native.AT)
    yield "%other = or i64 %depth, %at"
    if kernel_helpers:
        yield from _load("ask", native.ASK)
        yield "%strange = or i64 %other, %ask"
    yield f"%main = icmp eq i64 {'%strange' if kernel_helpers else '%other'}, 0"
    yield "br i1 %main, label %enter, label %else, !prof !0"
    yield "enter:"
    yield from _load("action", native.ACTION)
    yield f"%seen = icmp ne i64 %action, {int(Action.ENTER)}"
    yield "br i1 %seen, label %run, label %fence, !prof !0"
    # The run's epoch has to be seen before anything is looked up; Python's locks see to that on x86-64 only.
    yield "fence:"
    yield "fence seq_cst"
    yield "br label %run"
    yield "run:"
    yield from _arguments()
    yield f"%x = call fastcc {RESULT} @f0(ptr %m, i64 0, i64 %fuel, {_GIVEN}) alwaysinline"
    yield from _unpack()
    yield "br i1 %well, label %ended, label %leave, !prof !0"
    yield "ended:"
    if asks:
        yield "store i64 0, ptr %depth.p"
    yield from _store_result()
    yield "leave:"
    yield f"%frame = getelementptr i8, ptr %m, i64 {member(native.FRAMES)}"
    yield from _record()
    yield "else:"
    if callbacks:
        yield f"%stop.nested = call fastcc i64 @{_NESTED}(ptr %m)"
        yield "ret i64 %stop.nested"
    else:
        yield f"ret i64 {Stop.UNKNOWN}"
    yield "}"
    if callbacks:
        yield from _write_nested(callbacks, kernel_helpers=kernel_helpers)


def _write_nested(callbacks: Sequence[int], *, kernel_helpers: bool) -> Iterator[str]:
    yield f"define internal fastcc i64 @{_NESTED}(ptr %m) noinline {{"
    yield from _load("depth", native.DEPTH)
    yield from _load("at", native.AT)
    yield from _arguments()
    if kernel_helpers:
        yield from _load("ask", native.ASK)
        yield "%kernel = icmp eq i64 %ask, 0"
        yield "br i1 %kernel, label %choose, label %unknown, !prof !0"
        yield "choose:"
    yield f"%frame.offset = mul i64 %depth, {FRAME_SIZE}"
    yield f"%frames = getelementptr i8, ptr %m, i64 {member(native.FRAMES)}"
    yield "%frame = getelementptr i8, ptr %frames, i64 %frame.offset"
    yield from _keep_saved()
    yield "switch i64 %at, label %unknown ["
    yield from (f"i64 {entry}, label %e{entry}" for entry in callbacks)
    yield "]"
    for entry in callbacks:
        yield f"e{entry}:"
        yield f"%x{entry} = call fastcc {RESULT} @f{entry}(ptr %m, i64 %depth, i64 %fuel, {_GIVEN})"
        yield "br label %done"
    yield "done:"
    yield f"%x = phi {RESULT} " + ", ".join(f"[ %x{entry}, %e{entry} ]" for entry in callbacks)
    yield from _unpack()
    yield "br i1 %well, label %ended, label %leave, !prof !0"
    yield "ended:"
    yield "store i64 %depth, ptr %depth.p"
    yield from _store_result()
    yield "leave:"
    yield from _record()
    yield "unknown:"
    yield f"ret i64 {Stop.UNKNOWN}"
    yield "}"


_GIVEN = ", ".join(f"i64 %r{n}" for n in range(6))


def _load(name: str, word: int) -> Iterator[str]:
    yield f"%{name}.p = getelementptr i8, ptr %m, i64 {member(word)}"
    yield f"%{name} = load i64, ptr %{name}.p"


def _arguments() -> Iterator[str]:
    yield from _load("fuel", native.FUEL)
    for register in range(6):
        yield from _load(f"r{register}", register)


def _unpack() -> Iterator[str]:
    yield f"%result = extractvalue {RESULT} %x, 0"
    yield f"%left = extractvalue {RESULT} %x, 1"
    yield f"%stop = extractvalue {RESULT} %x, 2"
    yield "%well = icmp eq i64 %stop, 0"


def _store_result() -> Iterator[str]:
    yield "store i64 %left, ptr %fuel.p"
    yield "store i64 %result, ptr %m"
    yield "ret i64 0"


def _record() -> Iterator[str]:
    """The interpreter goes on: say that the outermost frame is the host's, and whose code it runs."""
    yield f"store i64 {NO_CALLER - (1 << 64)}, ptr %frame"
    yield from _load("code", native.CODE)
    yield f"%code.q = getelementptr i8, ptr %frame, i64 {WORD}"
    yield "store i64 %code, ptr %code.q"
    yield "ret i64 %stop"


def _keep_saved() -> Iterator[str]:
    """Keep r6 to r10 of who called: they are the interpreter's, or nobody's."""
    for register in range(6, 11):
        yield from _load(f"s{register}", register)
        yield f"%s{register}.q = getelementptr i8, ptr %frame, i64 {(register - 4) * WORD}"
        yield f"store i64 %s{register}, ptr %s{register}.q"
