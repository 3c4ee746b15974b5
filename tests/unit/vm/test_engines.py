"""Engines: frames, callbacks, tail calls, budget, and what a fault tells."""

from __future__ import annotations

import contextlib
import inspect
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import cast

import pytest

from ebpf.abi.types import MapType, ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.errors import ProgramFault
from ebpf.vm import interpreter, reference
from ebpf.vm.engines import choose_engine
from ebpf.vm.fault import Fault
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.maps import ArrayMap, Map, MapShape, create_map
from ebpf.vm.program import LoadRequest, Program, load_program
from tests.bounds import soon

pytestmark = pytest.mark.usefixtures("engine")

MAP = create_map(MapShape(MapType.ARRAY, 4, 16, 1, name="values"))


def execute(run: Run, *arguments: int) -> int:
    return choose_engine().execute(run, *arguments)


class Programs:
    """A kernel that knows nothing but the programs of one array."""

    closed = False

    def __init__(self, programs: dict[int, Program]) -> None:
        self.programs = programs

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        assert prog_array is MAP
        return self.programs.get(index)


def load(text: str, source: Callable[[int], str | None] = lambda slot: None) -> Program:
    request = LoadRequest(
        type=ProgramType.SYSCALL,
        insns=Instructions.from_asm(text).encode(),
        license="GPL",
        name="prog",
        map_by_fd={1: MAP}.get,
        source_line=source,
    )
    return load_program(request, lambda line: None)


def run(text: str, *, programs: dict[int, Program] | None = None, memory: bytes = bytes(16), **options: int) -> int:
    instance = Run(load(text), cast("Kernel", Programs(programs or {})), **options)
    return execute(instance, instance.memory.add(bytearray(memory), "context"))


def fault(text: str, **options: int) -> ProgramFault:
    with pytest.raises(ProgramFault) as caught:
        run(text, **options)
    return caught.value


def test_registers_and_stack_start_at_zero() -> None:
    assert run("r0 = r2\nr0 |= r9\nr3 = *(u64 *)(r10 - 512)\nr0 |= r3\nexit") == 0


def test_fault_says_where() -> None:
    program = load("r2 = r10\nr2 += 100\nr0 = *(u32 *)(r2 + 4)\nexit", {2: "prog.c:7: return p[1];"}.get)
    instance = Run(program, cast("Kernel", Programs({})))
    with pytest.raises(ProgramFault) as caught:
        execute(instance, instance.memory.add(bytearray(16), "context"))
    error = caught.value
    assert (error.kind, error.insn, error.source) == ("memory", 2, "prog.c:7: return p[1];")
    assert error.address == 0x2_0000_0268
    assert str(error) == (
        "prog: insn 2 (prog.c:7: return p[1];): read of 4 bytes at 0x200000268: "
        "stack of frame 0 has offsets 0..512, the access 616..620"
    )
    assert error.regions == ("0x100000000-0x100000010 rw context", "0x200000000-0x200000200 rw stack of frame 0")
    assert pickle.loads(pickle.dumps(error)).regions == error.regions


@pytest.mark.parametrize(
    ("text", "kind", "insn"),
    [
        ("r0 = *(u64 *)(r10 + 0)\nexit", "memory", 0),
        ("r0 = *(u64 *)(r10 - 520)\nexit", "memory", 0),
        ("r0 = *(u64 *)(r10 - 4)\nexit", "memory", 0),
        ("*(u8 *)(r10 + 0) = 1\nr0 = 0\nexit", "memory", 0),
        ("r2 = 0\nr0 = *(u8 *)(r2 + 0)\nexit", "memory", 1),
        ("r2 = 1\nlock *(u64 *)(r10 - 12) += r2\nr0 = 0\nexit", "alignment", 1),
        ("r0 = load_acquire((u32 *)(r10 - 6))\nexit", "alignment", 0),
        ("goto -1", "budget", 0),
        ("call f\nexit\nf:\nr0 = *(u64 *)(r10 + 0)\nexit", "memory", 2),
        ("r1 = map_fd[1] ll\nr0 = *(u64 *)(r1 + 0)\nexit", "memory", 2),
        ("r1 = map_fd[1][8] ll\nr0 = *(u64 *)(r1 + 8)\nexit", "memory", 2),
    ],
)
def test_fault(text: str, kind: str, insn: int) -> None:
    error = fault(text, budget=1000)
    assert (error.kind, error.insn) == (kind, insn)


def test_dead_frames_are_gone() -> None:
    error = fault("call f\nr0 = *(u64 *)(r0 - 8)\nexit\nf:\nr0 = r10\nexit")
    assert (error.kind, error.insn) == ("memory", 1)


def test_failed_atomic_changes_nothing() -> None:
    text = "r2 = map_fd[1][0] ll\nr3 = 5\nr0 = r3\nlock *(u64 *)(r2 + 12) += r3\nexit"
    before = bytes(MAP.lookup(bytes(4), 0) or b"")
    assert fault(text).kind == "alignment"
    assert bytes(MAP.lookup(bytes(4), 0) or b"") == before


def test_budget_counts_every_instruction() -> None:
    assert run("r0 = 1\nr0 = 2\nexit", budget=3) == 2
    error = fault("r0 = 1\nr0 = 2\nexit", budget=2)
    assert (error.kind, error.insn) == ("budget", 2)


def test_budget_is_shared_with_callbacks() -> None:
    text = "r1 = 10\nr2 = func[f] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\nf:\nr0 = 0\nexit"
    assert run(text, budget=26) == 10
    assert fault(text, budget=25).kind == "budget"


def test_callback_keeps_the_registers_of_its_caller() -> None:
    text = (
        "r6 = 7\nr1 = 3\nr2 = func[f] ll\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 0\ncall bpf_loop\n"
        "r0 = *(u64 *)(r10 - 8)\nr0 += r6\nexit\n"
        "f:\nr6 = 100\nr3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nexit"
    )
    assert run(text) == 0 + 1 + 2 + 7


def test_frames_of_callbacks_count() -> None:
    chain = "".join(f"f{i}:\ncall f{i + 1}\nexit\n" for i in range(1, 6))
    text = (
        # Adding zero hides the function from the check at load, which would refuse the ninth frame already.
        "call f1\nexit\n" + chain + "f6:\nr1 = 1\nr2 = func[g] ll\nr2 += 0\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\n"
        "g:\n{}r0 = 0\nexit"
    )
    assert run(text.format("")) == 1
    assert fault(text.format("call h\n") + "\nh:\nr0 = 0\nexit").kind == "stack"


@pytest.mark.parametrize("pointer", ["1", "3", "0", "99"])
def test_only_functions_can_be_called_back(pointer: str) -> None:
    text = f"r1 = 1\nr2 = {pointer}\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit"
    assert fault(text).kind == "call"


def test_fault_in_a_callback_names_the_callback() -> None:
    text = "r1 = 1\nr2 = func[f] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\nf:\nr0 = *(u8 *)(r2 + 0)\nexit"
    error = fault(text)
    assert (error.kind, error.insn) == ("memory", 7)


TAIL = "r2 = map_fd[1] ll\nr3 = {index}\ncall bpf_tail_call\n"


def test_tail_call_replaces_the_program() -> None:
    target = load("r0 = *(u8 *)(r1 + 0)\nexit")
    assert run(TAIL.format(index=2) + "r0 = 1\nexit", programs={2: target}, memory=b"\x2a") == 42


def test_failed_tail_call_goes_on() -> None:
    assert run(TAIL.format(index=3) + "r0 = 1\nexit", programs={2: load("r0 = 9\nexit")}) == 1


def test_tail_calls_are_limited() -> None:
    counter = "r4 = map_fd[1][0] ll\nr5 = *(u64 *)(r4 + 0)\nr5 += 1\n*(u64 *)(r4 + 0) = r5\n"
    loop = load(counter + TAIL.format(index=0) + "r4 = map_fd[1][0] ll\nr0 = *(u64 *)(r4 + 0)\nexit")
    MAP.update(bytes(4), bytes(16), 0, 0)
    assert run(TAIL.format(index=0) + "r0 = 77\nexit", programs={0: loop}) == 33


def test_tail_call_in_a_function_returns_to_its_caller() -> None:
    target = load("r0 = 5\nexit")
    text = "r6 = 2\ncall f\nr0 += r6\nexit\nf:\n" + TAIL.format(index=0) + "r0 = 9\nexit"
    assert run(text, programs={0: target}) == 7


def test_fault_after_a_tail_call_names_the_target() -> None:
    target = load("r0 = *(u8 *)(r1 + 99)\nexit")
    with pytest.raises(ProgramFault) as caught:
        run("r0 = 0\n" + TAIL.format(index=0) + "exit", programs={0: target})
    assert caught.value.insn == 0


def test_tail_call_takes_the_context_only() -> None:
    assert fault("r1 = r10\n" + TAIL.format(index=0) + "r0 = 0\nexit").kind == "helper"


def test_may_goto_ends_a_loop() -> None:
    # Nothing else would end it: the loop is left after 2**23 turns, so the budget ends it first here.
    assert fault("r0 = 0\nagain:\nmay_goto out\nr0 += 1\ngoto again\nout:\nexit", budget=100).kind == "budget"
    program = load("r0 = 0\nagain:\nmay_goto out\nr0 += 1\ngoto again\nout:\nexit")
    instance = Run(program, cast("Kernel", Programs({})))
    with pytest.MonkeyPatch.context() as patch:
        for module in (reference, interpreter):
            patch.setattr(module, "MAX_LOOPS", 10)
        assert execute(instance, 0) == 9


def test_memory_is_left_as_it_was_found() -> None:
    for text in ("call f\nexit\nf:\nr0 = 0\nexit", "call f\nexit\nf:\nr0 = *(u8 *)(r9 + 0)\nexit"):
        instance = Run(load(text), cast("Kernel", Programs({})))
        context = instance.memory.add(bytearray(8), "context")
        with contextlib.suppress(ProgramFault):
            execute(instance, context)
        assert list(instance.memory.regions) == [context >> 32]


def test_python_stack_may_be_short() -> None:
    program = load("r1 = 1\nr2 = func[f] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\nf:\nr0 = 0\nexit")

    def deep(levels: int) -> None:
        if levels:
            return deep(levels - 1)
        instance = Run(program, cast("Kernel", Programs({})))
        execute(instance, 0)
        return None

    outcomes = set()
    used = len(inspect.stack(0))
    for levels in range(sys.getrecursionlimit() - used - 30, sys.getrecursionlimit() - used):
        try:
            deep(levels)
            outcomes.add("ran")
        except ProgramFault as error:
            outcomes.add(error.kind)
        except RecursionError:
            outcomes.add("before the run")
    assert {"ran", "stack"} <= outcomes


def test_atomic_additions_of_two_threads_all_count() -> None:
    text = (
        "r6 = 2000\nr2 = map_fd[1][8] ll\nr3 = 1\nagain:\nlock *(u64 *)(r2 + 0) += r3\nr6 += -1\n"
        "if r6 != 0 goto again\nr0 = 0\nexit"
    )
    MAP.update(bytes(4), bytes(16), 0, 0)
    threads = [threading.Thread(target=run, args=(text,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int.from_bytes(bytes(MAP.lookup(bytes(4), 0) or b"")[8:], "little") == 8000


def test_callback_outside_of_a_run() -> None:
    with pytest.raises(Fault, match="while no engine runs"):
        Run(load("r0 = 0\nexit"), cast("Kernel", Programs({}))).call(0, ())


def test_numbers_of_regions_are_not_used_twice() -> None:
    # Each call opens a region; 300 of them go around the table of the interpreter several times.
    text = (
        "r6 = 300\nr8 = 0\nagain:\ncall f\nr0 >>= 32\nif r0 > r8 goto newer\nr0 = -1\nexit\nnewer:\nr8 = r0\n"
        "r6 += -1\nif r6 != 0 goto again\nr0 = r8\nexit\nf:\nr0 = r10\nexit"
    )
    # Of 64 places the context and the first stack keep two: 62 new numbers for each time around. In compiled code the
    # first stack needs none, since no pointer to it is ever stored or passed on.
    kept = 1 if choose_engine().name == "jit" else 2
    assert run(text) == kept + 1 + 299 + kept * (300 // (64 - kept))


def test_table_of_regions_grows() -> None:
    values = ArrayMap(MapShape(MapType.ARRAY, 4, 8, 1000, name="many"))  # in native storage values are no regions
    request = LoadRequest(
        type=ProgramType.SYSCALL,
        insns=Instructions.from_asm(
            "r1 = map_fd[1] ll\nr2 = func[f] ll\nr3 = r10\nr3 += -8\n*(u64 *)(r10 - 8) = 0\nr4 = 0\n"
            "call bpf_for_each_map_elem\nr0 = *(u64 *)(r10 - 8)\nexit\n"
            "f:\nr1 = *(u64 *)(r4 + 0)\nr1 += r3\n*(u64 *)(r4 + 0) = r1\n*(u64 *)(r3 + 0) = 7\ncall g\nr0 = 0\nexit\n"
            "g:\nr0 = *(u64 *)(r3 + 0)\nexit"
        ).encode(),
        license="GPL",
        map_by_fd={1: values}.get,
    )
    instance = Run(load_program(request, print), cast("Kernel", Programs({})))
    address = instance.memory.add(bytearray(8), "context")
    result = execute(instance, address)
    assert instance.memory.places >= 2048
    # r0 is the sum of the addresses of all values. In compiled code g's stacks, to which no pointer points, take none.
    assert result == SUMS.setdefault("compiled" if choose_engine().name == "jit" else "other", result)
    assert all(bytes(view) == (7).to_bytes(8, "little") for _, _, view in values.elements_on(0))


SUMS: dict[str, int] = {}


def test_closing_the_kernel_stops_a_run() -> None:
    kernel = Programs({})
    closer = threading.Timer(0.05, setattr, (kernel, "closed", True))
    instance = Run(load("goto -1"), cast("Kernel", kernel), budget=1 << 50)
    closer.start()
    with pytest.raises(ProgramFault, match="closed while") as caught:
        execute(instance, 0)
    assert caught.value.kind == "closed"
    closer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="setitimer is not there")
def test_a_signal_stops_a_run() -> None:
    class StopError(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise StopError

    def stopped() -> float:
        instance = Run(load("goto -1"), cast("Kernel", Programs({})), budget=1 << 50)
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(StopError):
            execute(instance, 0)
        assert not instance.memory.regions
        return time.monotonic() - start - 0.05

    before = signal.signal(signal.SIGALRM, stop)
    try:
        assert soon(stopped)
    finally:
        signal.signal(signal.SIGALRM, before)
