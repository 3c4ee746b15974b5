"""Compiling IR: the same results from all passes, one exception, nothing printed, nothing left behind."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebpf.codegen import compiler
from ebpf.codegen.compiler import (
    GENERIC_TARGETS,
    CompileError,
    Target,
    Tier,
    Work,
    available,
    compile_ir,
    host_target,
)
from ebpf.codegen.executable import Executable
from ebpf.codegen.flat import FlatCode
from ebpf.codegen.image import ImageError, target_of_process
from tests.bounds import soon
from tests.unit.codegen import synthetic

if (MISSING := available()) is not None:
    pytest.skip(MISSING, allow_module_level=True)
try:
    HOST = host_target()
except ImageError as error:
    pytest.skip(str(error), allow_module_level=True)

TRIPLE = """
define i64 @f(i64 %a) {
  %r = call i64 @triple(i64 %a)
  %q = add i64 %r, 1
  ret i64 %q
}
define i64 @triple(i64 %a) noinline {
  %r = mul i64 %a, 3
  ret i64 %r
}
"""
SUM = """
define i64 @f(ptr %p, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %s = phi i64 [ 0, %entry ], [ %t, %loop ]
  %q = getelementptr i64, ptr %p, i64 %i
  %v = load i64, ptr %q
  %t = add i64 %s, %v
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret i64 %t
}
"""


@dataclass(frozen=True)
class Passes:
    """What is done with a module."""

    tier: Tier
    work: Work = Work.LOOPS

    def compile(
        self, ir: str, *, entries: Collection[str] = ("f",), target: Target = HOST, support: bytes | None = None
    ) -> FlatCode:
        return compile_ir(ir, target=target, tier=self.tier, entries=entries, support=support, work=self.work)


PASSES = (Passes(Tier.LIGHT), *(Passes(Tier.FULL, work) for work in Work))


@pytest.fixture(params=PASSES, ids=str)
def passes(request: pytest.FixtureRequest) -> Passes:
    passes: Passes = request.param
    return passes


def run(flat: FlatCode, name: str, *arguments: int) -> int:
    with Executable(flat.code) as code:
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(arguments))
        result: int = prototype(code.address + flat.symbols[name])(*arguments)
    return result


def test_results(passes: Passes) -> None:
    flat = passes.compile(TRIPLE)
    assert run(flat, "f", 5) == 16
    assert flat.symbols.keys() == {"f"}


def test_several_entries(passes: Passes) -> None:
    flat = passes.compile(TRIPLE, entries={"f", "triple"})
    assert (run(flat, "f", 5), run(flat, "triple", 5)) == (16, 15)


def test_constants_follow_the_code(passes: Passes) -> None:
    ir = """
    @table = private constant [4 x i64] [i64 11, i64 22, i64 33, i64 44]
    define i64 @f(i64 %i) {
      %p = getelementptr i64, ptr @table, i64 %i
      %v = load i64, ptr %p
      ret i64 %v
    }"""
    flat = passes.compile(ir)
    assert [run(flat, "f", i) for i in range(4)] == [11, 22, 33, 44]


def test_a_function_s_address(passes: Passes) -> None:
    ir = TRIPLE + "define i64 @address() {\n  ret i64 ptrtoint (ptr @f to i64)\n}\n"
    flat = passes.compile(ir, entries=["f", "address"])
    with Executable(flat.code) as code:
        address = ctypes.CFUNCTYPE(ctypes.c_uint64)(code.address + flat.symbols["address"])()
        assert address == code.address + flat.symbols["f"]


def test_large_functions(passes: Passes) -> None:
    data = (ctypes.c_uint64 * 100)(*range(100))
    small, large = synthetic.module(2, ("compute",)), synthetic.module(4000, ("compute",))
    for ir in (small, large):
        flat = passes.compile(ir)
        assert run(flat, "f", ctypes.addressof(data), 800) == simulate(ir, 800)


def simulate(ir: str, size: int) -> int:
    """Carry out synthetic.module(…, ("compute",))."""
    registers = [size] * len(synthetic.REGISTERS)
    operations = {
        "add": int.__add__, "sub": int.__sub__, "mul": int.__mul__,
        "xor": int.__xor__, "and": int.__and__, "or": int.__or__,
    }  # fmt: skip
    for n in range(ir.count("%w") // 2):
        dst, src = n * 7 % 10, (n * 3 + 1) % 10
        operation = operations[synthetic.ALU[n * 5 % len(synthetic.ALU)]]
        registers[dst] = (operation(registers[dst], registers[src]) + n) % (1 << 64)
    return registers[0]


def test_loops_are_vectorised_when_asked() -> None:
    data = (ctypes.c_uint64 * 1000)(*range(1000))
    sizes = {}
    for tier in Tier:
        flat = compile_ir(SUM, target=HOST, tier=tier, entries=["f"])
        assert run(flat, "f", ctypes.addressof(data), 1000) == 499_500
        sizes[tier] = len(flat.code)
    assert sizes[Tier.FULL] > 3 * sizes[Tier.LIGHT]


@pytest.mark.parametrize("name", GENERIC_TARGETS)
def test_generic_targets(name: str, passes: Passes) -> None:
    target = GENERIC_TARGETS[name]
    flat = passes.compile(synthetic.module(50), target=target)
    assert len(flat.code) > 200
    assert flat.symbols == {"f": 0}
    if name == target_of_process():
        assert run(flat, "f", 0, 0) == (1 << 64) - 1


def test_windows_has_no_red_zone() -> None:
    ir = "define void @f() {\n  %p = alloca i64\n  store volatile i64 1, ptr %p\n  ret void\n}\n"
    flat = {n: compile_ir(ir, target=t, tier=Tier.FULL, entries=["f"]).code for n, t in GENERIC_TARGETS.items()}
    assert flat["x86_64-sysv"].startswith(bytes.fromhex("48c74424f8"))  # mov qword ptr [rsp - 8], …
    assert flat["x86_64-win64"].startswith(b"\x50")  # push rax


def test_loops_do_not_become_calls() -> None:
    ir = """
    define void @f(ptr %p, ptr %q, i64 %n) {
    entry:
      br label %loop
    loop:
      %i = phi i64 [ 0, %entry ], [ %next, %loop ]
      %a = getelementptr i8, ptr %p, i64 %i
      %b = getelementptr i8, ptr %q, i64 %i
      store i8 0, ptr %a
      %next = add i64 %i, 1
      %more = icmp ult i64 %next, %n
      br i1 %more, label %loop, label %done
    done:
      ret void
    }"""
    compile_ir(ir, target=HOST, tier=Tier.FULL, entries=["f"])


@pytest.mark.parametrize(
    ("ir", "why"),
    [
        ("x", "expected top-level entity"),
        ("define i64 @f() {\n  %a = add i64 %b, 1\n  %b = add i64 %a, 1\n  ret i64 %a\n}", "does not dominate"),
        ("define i64 @g() {\n  ret i64 1\n}", "the module does not define f"),
        ("define i64 @f()\n{\n  ret i64 1\n}", "does not stand on one line"),
        ("declare i64 @f()", "the module does not define f"),
        ("declare i64 @u()\ndefine i64 @f() {\n  %a = call i64 @u()\n  ret i64 %a\n}", "not defined in the object: u"),
        ("@x = global i64 0\ndefine i64 @f() {\n  %a = load volatile i64, ptr @x\n  ret i64 %a\n}", "not allowed"),
        ("define i128 @f(i128 %a) {\n  %r = udiv i128 %a, 10000000007\n  ret i128 %r\n}", "__udivti3"),
    ],
)
def test_errors(ir: str, why: str, passes: Passes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CompileError, match=why):
        passes.compile(ir)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_printed(passes: Passes, capfd: pytest.CaptureFixture[str]) -> None:
    for target in (HOST, *GENERIC_TARGETS.values()):
        passes.compile(TRIPLE, target=target, support=library())
    assert capfd.readouterr() == ("", "")


def library() -> bytes:
    """Return bitcode for no target in particular, with a function that nobody calls and one that is not inlined."""
    import llvmlite.binding as llvm

    with llvm.create_context() as context, llvm.parse_assembly(LIBRARY, context) as module:
        bitcode: bytes = module.as_bitcode()
        return bitcode


LIBRARY = """
@five = internal constant i64 5
define i64 @inlined(i64 %a) alwaysinline nounwind "no-builtins" {
  %f = load i64, ptr @five
  %r = mul i64 %a, %f
  ret i64 %r
}
define i64 @called(i64 %a) noinline nounwind "no-builtins" {
  %r = add i64 %a, 7
  ret i64 %r
}
define hidden i64 @unused(i64 %a) noinline nounwind "no-builtins" {
  ret i64 81985529216486895 ; 0x0123456789abcdef
}
"""
USER = """
declare i64 @inlined(i64)
declare i64 @called(i64)
define i64 @f(i64 %a) {
  %r = call i64 @inlined(i64 %a)
  %q = call i64 @called(i64 %r)
  ret i64 %q
}
"""


def test_support_is_linked_in_and_inlined(passes: Passes) -> None:
    flat = passes.compile(USER, support=library())
    assert run(flat, "f", 3) == 22
    assert flat.symbols.keys() == {"f"}
    assert bytes.fromhex("efcdab8967452301") not in flat.code
    both = passes.compile(USER, entries=["f", "unused"], support=library())
    assert run(both, "unused", 3) == 0x0123456789ABCDEF


def test_damaged_support() -> None:
    with pytest.raises(CompileError, match=r"[Bb]itcode"):
        compile_ir(USER, target=HOST, tier=Tier.LIGHT, entries=["f"], support=library()[:-40])
    twice = USER + "define i64 @called(i64 %a) {\n  ret i64 %a\n}\n"
    with pytest.raises(CompileError):
        compile_ir(twice, target=HOST, tier=Tier.LIGHT, entries=["f"], support=library())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_as_it_is(passes: Passes) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    bitcode, ir = library(), USER.replace("alwaysinline", "")
    for _ in range(150):
        passes.compile(ir, support=bitcode)
    before = resident()
    for _ in range(150):
        passes.compile(ir, support=bitcode)
    assert resident() - before < 1 << 19


def test_errors_leave_nothing_either() -> None:
    """A pipeline goes back to the others after an error, too."""
    for _ in range(3):
        with pytest.raises(CompileError):
            compile_ir("x", target=HOST, tier=Tier.LIGHT, entries=["f"])
    assert len(compiler._idle[HOST, Tier.LIGHT, 1, Work.LOOPS]) == 1


def test_pipelines_are_renewed() -> None:
    for _ in range(2 * compiler._Pipeline.USES + 3):
        flat = compile_ir(TRIPLE, target=HOST, tier=Tier.FULL, entries=["f"])
    assert run(flat, "f", 5) == 16
    assert all(pipeline.uses < pipeline.USES for pipeline in compiler._idle[HOST, Tier.FULL, 2, Work.LOOPS])


def test_threads_compile_at_once() -> None:
    results: list[int] = []

    def work(number: int) -> None:
        for step in range(20):
            ir = f"define i64 @f(i64 %a) {{\n  %r = mul i64 %a, {number * 100 + step}\n  ret i64 %r\n}}\n"
            results.append(run(PASSES[step % len(PASSES)].compile(ir), "f", 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [number * 100 + step for number in range(4) for step in range(20)]


def test_python_goes_on_meanwhile() -> None:
    ir = synthetic.module(2000)

    def longest_wait() -> float:
        options = {"target": HOST, "tier": Tier.FULL, "entries": "f"}
        thread = threading.Thread(target=compile_ir, args=(ir,), kwargs=options)
        thread.start()
        longest, last = 0.0, time.perf_counter()
        while thread.is_alive():
            time.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        thread.join()
        return longest

    assert soon(longest_wait)  # a compile takes 300 ms, in a few calls


def cost(count: int, kinds: tuple[str, ...]) -> float:
    """Return what a light compile takes of this thread, in seconds."""
    ir = synthetic.module(count, kinds)

    def once() -> float:
        start = time.thread_time()
        compile_ir(ir, target=HOST, tier=Tier.LIGHT, entries=["f"])
        return time.thread_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize("kinds", [synthetic.STRAIGHT, synthetic.BRANCHY])
def test_light_compiles_take_time_as_programs_do(kinds: tuple[str, ...]) -> None:
    assert cost(10_000, kinds) < 12 * cost(1000, kinds)


def test_llvmlite_is_not_imported_before_it_compiles() -> None:
    code = "import sys, ebpf.codegen.compiler as c; print(c.available()); assert 'llvmlite' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("None\n", "")


@pytest.mark.parametrize("error", ["OSError('no libllvmlite.so')", "ImportError('no libllvmlite.so')"])
def test_llvmlite_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite" / "__init__.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "llvmlite"]:
        monkeypatch.delitem(sys.modules, name)
    load = compiler._llvm.__wrapped__
    with pytest.raises(CompileError, match=r"loaded \(pip install --force-reinstall llvmlite\): no libllvmlite\.so"):
        load()


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (None, "llvmlite is not installed (pip install 'ebpf[jit]')"),
        ("0.44.0", "llvmlite 0.44.0 is too old, 0.45 is needed"),
        ("of an unknown version", "llvmlite of an unknown version is too old, 0.45 is needed"),
        ("0.45.0rc1", None),
        ("0.50.0", None),
        ("1.0", None),
    ],
)
def test_available(monkeypatch: pytest.MonkeyPatch, version: str | None, why: str | None) -> None:
    monkeypatch.setattr(compiler, "installed_version", lambda: version)
    assert available() == why
