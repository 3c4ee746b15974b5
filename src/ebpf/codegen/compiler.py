"""LLVM as a compiler: IR text in, flat code out. The only module that imports llvmlite, and only when it compiles.

llvmlite 0.45 (LLVM 20) is the oldest that reads the support library's bitcode and has the passes used here. llvmlite
holds one lock of its own in every call into LLVM and releases the GIL there: any number of threads may compile, one of
them at a time proceeds, and threads that run Python go on meanwhile.
"""

from __future__ import annotations

import functools
import os
import re
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from importlib.machinery import PathFinder
from typing import Any

from ebpf.codegen.flat import FlatCode, LinkError, link
from ebpf.codegen.image import target_of_process
from ebpf.plain import NamedTuple

OLDEST = (0, 45)
"""Version of llvmlite."""


class CompileError(Exception):
    """LLVM refused the module, its code can't be flat, or llvmlite can't be loaded. The message says which and why."""


class Tier(Enum):
    """How much work goes into code.

    LIGHT keeps values in registers and joins blocks, in a time that grows as the program does. FULL is what LLVM can do
    for the code that there is (`Work`).
    """

    LIGHT = "light"
    FULL = "full"


class Work(Enum):
    """What FULL finds to do in a module, and so which of LLVM's passes are worth their time.

    LOOPS is O3, which takes no longer than O2 for programs as they are; the loops that only it unrolls run 1.5 times as
    fast. CALLS, of functions that have no loops, is O1: as good for them, in two thirds of the time. LINES, of one
    function and what is always part of its callers, is O1's passes for one function: the same code, in half the time
    of O1, which combines instructions seven times instead of four.
    """

    LOOPS = "loops"
    CALLS = "calls"
    LINES = "lines"


class Target(NamedTuple):
    """What code is made for. The object is ELF everywhere, so `triple` names Linux.

    `cpu` and `features` are LLVM's. On `windows` nothing may lie below the stack pointer; its calling convention
    (`win64cc`) is the IR's own business.
    """

    name: str
    triple: str
    cpu: str
    features: str
    windows: bool


GENERIC_TARGETS = {
    target.name: target
    for target in (
        Target("x86_64-sysv", "x86_64-linux-gnu", "x86-64", "", windows=False),
        Target("x86_64-win64", "x86_64-linux-gnu", "x86-64", "", windows=True),
        # x18 belongs to the system on Windows and macOS.
        Target("aarch64", "aarch64-linux-gnu", "generic", "+reserve-x18", windows=False),
    )
}
"""Targets of native images by name: any processor of the architecture."""


def installed_version() -> str | None:
    """Return llvmlite's version, None where it isn't installed. Imports nothing of it.

    Its own file says so; importlib.metadata takes 80 ms to import, twice of what llvmlite itself does.
    """
    spec = PathFinder.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return None
    try:
        with open(os.path.join(os.path.dirname(spec.origin), "_version.py"), encoding="utf-8") as file:
            text = file.read()
    except OSError:
        text = ""
    found = re.search(r"""version\W+(\d[^'"]*)""", text)
    return found[1] if found else "of an unknown version"


def available() -> str | None:
    """Return None if llvmlite can be used, else why not. Does not import it."""
    version = installed_version()
    if version is None:
        return "llvmlite is not installed (pip install 'ebpf[jit]')"
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST:
        return f"llvmlite {version} is too old, {'.'.join(map(str, OLDEST))} is needed"
    return None


@functools.cache
def host_target() -> Target:
    """Return this process's target, with the processor's name and features.

    Raises ImageError where there is none, CompileError where llvmlite can't be loaded.
    """
    generic = GENERIC_TARGETS[target_of_process()]
    llvm = _llvm()
    features = [llvm.get_host_cpu_features().flatten(), generic.features]
    return Target(
        name=generic.name,
        triple=generic.triple,
        cpu=llvm.get_host_cpu_name(),
        features=",".join(filter(None, features)),
        windows=generic.windows,
    )


def compile_ir(
    ir: str,
    *,
    target: Target,
    tier: Tier,
    entries: Collection[str],
    support: bytes | None = None,
    work: Work = Work.LOOPS,
) -> FlatCode:
    """Compile a module of LLVM IR; the symbols of the result are the functions named by `entries`.

    `work` says what FULL finds to do. `support` is bitcode to link in; what is not used of it goes away. A function's
    head stands on one line that ends in ` {`, behind its attributes. Nothing of the module stays in memory. Raises
    CompileError.
    """
    llvm = _llvm()
    try:
        with ExitStack() as stack:
            pipeline = stack.enter_context(_pipeline(target, tier, _level(ir, tier), work))
            context = stack.enter_context(llvm.create_context())
            module = stack.enter_context(llvm.parse_assembly(_with_attributes(ir, target), context))
            module.verify()
            if support is not None:
                pipeline.prepare(module)
                library = stack.enter_context(llvm.parse_bitcode(support, context))
                pipeline.prepare(library)
                module.link_in(library)
            _internalize(module, entries)
            pipeline.optimize(module, with_support=support is not None)
            elf = pipeline.machine.emit_object(module)
        return link(elf)
    except (RuntimeError, LinkError) as error:
        raise CompileError(str(error)) from None


@functools.cache
def _llvm() -> Any:
    """Return llvmlite's interface. Raises CompileError where it is installed, but can't be loaded."""
    try:
        import llvmlite.binding as llvm

        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    except (ImportError, OSError, AttributeError) as error:
        remedy = "pip install --force-reinstall llvmlite"
        raise CompileError(f"llvmlite can't be loaded ({remedy}): {error}") from error
    return llvm


LARGE = 12_000
"""Lines of IR in one function: 1,400 instructions of eBPF with many branches, 6,000 without."""


def _level(ir: str, tier: Tier) -> int:
    """Return how hard code generation tries.

    At level 1 some of its passes are quadratic in the size of a function: 10,000 instructions with many branches take
    3 s, half of what FULL takes. Level 0 needs a tenth of that. Its code takes 2.3 times as long, which still is a
    quarter of the interpreter's time, until FULL's is there.
    """
    if tier is Tier.FULL:
        return 2
    return 1 if max(function.count("\n") for function in ir.split("\ndefine ")) < LARGE else 0


_HEAD = re.compile(r"(define .*?)[ \t]*\{[ \t]*$", re.MULTILINE)


def _with_attributes(ir: str, target: Target) -> str:
    """Add what every function needs: llvmlite's interface adds no attributes that are strings.

    Without "no-builtins" loops become calls of memset and memcpy; without nounwind there are tables for unwinding.
    Windows has no red zone: it runs its own code on the stack of an interrupted thread.
    """
    attributes = 'nounwind "no-builtins"' + (" noredzone" if target.windows else "")
    text, heads = _HEAD.subn(rf"\1 {attributes} {{", ir)
    if heads != ir.count("define "):
        raise CompileError("the head of a function does not stand on one line that ends in '{'")
    return text


def _internalize(module: Any, entries: Collection[str]) -> None:
    """Make everything but the entries internal, and the entries reachable without a table of addresses."""
    from llvmlite.binding import Linkage, Visibility

    missing = set(entries)
    for values in (module.functions, module.global_variables):
        for value in values:
            if value.is_declaration:
                continue
            if value.name in missing:
                missing.remove(value.name)
                value.visibility = Visibility.hidden
            elif value.linkage != Linkage.private:
                value.linkage = Linkage.internal
    if missing:
        raise CompileError(f"the module does not define {', '.join(sorted(missing))}")


_BETWEEN_FUNCTIONS = (
    "add_always_inliner_pass",
    "add_ipsccp_pass",
    "add_dead_arg_elimination_pass",
    "add_global_dead_code_eliminate_pass",
)
"""What is left to do between functions where each has one caller: what leaves compiled code gets constants."""


class _Pipeline:
    """A target machine and a maker of pass managers. One compile at a time uses it.

    llvmlite frees neither a pass builder's instrumentation (1.5 KB) nor what each run adds to it (60 bytes, and a call
    for each pass), so a builder serves several compiles, but not for ever.
    """

    USES = 64

    def __init__(self, target: Target, tier: Tier, level: int, work: Work) -> None:
        llvm = _llvm()
        self.tier, self.work, self.uses = tier, work, 0
        self.triple = target.triple
        self.machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
        )
        self._layout = str(self.machine.target_data)
        self._options = llvm.create_pipeline_tuning_options(speed_level=3 if work is Work.LOOPS else 1)
        self._options.loop_vectorization = True
        self._builder = llvm.create_pass_builder(self.machine, self._options)

    def prepare(self, module: Any) -> None:
        """Give a module the target's name and layout: modules that differ can't be linked."""
        module.triple = self.triple
        module.data_layout = self._layout

    def optimize(self, module: Any, *, with_support: bool) -> None:
        """Run the tier's passes."""
        self.prepare(module)
        if with_support:
            # Before anything else works on functions that nobody calls.
            self._run(module, self._manager("add_global_dead_code_eliminate_pass"))
        if self.tier is Tier.FULL:
            self._optimize_fully(module)
            return
        # No InstCombine: it saves as little as it costs, and x * x makes it walk all blocks before (80 s for 10,000).
        # SCCP costs next to nothing, and what is constant around loops that are entangled costs registers a second.
        passes = ["add_sroa_pass", "add_sccp_pass", "add_simplify_cfg_pass"]
        if with_support:
            passes = ["add_always_inliner_pass", *passes, "add_global_dead_code_eliminate_pass"]
        self._run(module, self._manager(*passes))

    def _optimize_fully(self, module: Any) -> None:
        if self.work is not Work.LINES:
            self._run(module, self._builder.getModulePassManager())
            return
        self._run(module, self._manager(*_BETWEEN_FUNCTIONS))
        for function in module.functions:
            if not function.is_declaration:
                self._run(function, self._builder.getFunctionPassManager())

    def _manager(self, *passes: str) -> Any:
        manager = _llvm().create_new_module_pass_manager()
        for name in passes:
            getattr(manager, name)()
        return manager

    def _run(self, what: Any, manager: Any) -> None:
        from llvmlite.binding.newpassmanagers import NewPassManager

        try:
            manager.run(what, self._builder)
        finally:
            # Its close() finds the empty method of another base class first, and frees nothing (60 KB).
            NewPassManager._dispose(manager)
            manager.detach()

    def close(self) -> None:
        """Free all of it, the target machine last."""
        self._builder.close()
        self._options.close()
        self.machine.close()


_idle: dict[tuple[Target, Tier, int, Work], deque[_Pipeline]] = {}


@contextmanager
def _pipeline(target: Target, tier: Tier, level: int, work: Work) -> Iterator[_Pipeline]:
    """Lend a pipeline that nobody else uses."""
    idle = _idle.setdefault((target, tier, level, work), deque())
    try:
        pipeline = idle.pop()
    except IndexError:
        pipeline = _Pipeline(target, tier, level, work)
    try:
        yield pipeline
    finally:
        pipeline.uses += 1
        if pipeline.uses < pipeline.USES:
            idle.append(pipeline)
        else:
            pipeline.close()
