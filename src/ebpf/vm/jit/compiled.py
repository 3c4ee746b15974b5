"""Programs as native code: compiled when they are first run, or found in the cache of earlier processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from ebpf.vm.program import Program

if TYPE_CHECKING:
    import ctypes

    from ebpf.codegen.compiler import Target, Tier
    from ebpf.codegen.flat import FlatCode


class CompiledProgram:
    """Native code of one program. It stays mapped while this object lives; threads may share it.

    `run(machine)` and `run_released(machine)` are called as those of `codegen.image.Image`. `is_long` is set once a
    run took long enough for other threads to be let run meanwhile.
    """

    def __init__(self, code: FlatCode) -> None:
        from ctypes import CFUNCTYPE, PYFUNCTYPE, c_uint64

        from ebpf.codegen.executable import Executable
        from ebpf.vm.jit.module import ENTRY as SYMBOL

        self._executable = Executable(code.code)
        self.address = self._executable.address + code.symbols[SYMBOL]
        self.run: Callable[[ctypes.c_void_p], int] = PYFUNCTYPE(c_uint64)(self.address)
        self.run_released: Callable[[ctypes.c_void_p], int] = CFUNCTYPE(c_uint64)(self.address)
        self.is_long = False

    def __del__(self) -> None:
        executable = getattr(self, "_executable", None)
        if executable is not None:
            executable.close()


def compile_program(program: Program, *, tier: Tier, trusted: bool = False, target: Target | None = None) -> FlatCode:
    """Compile a program for this process, or for another target. Raises CompileError."""
    from ebpf.codegen.compiler import compile_ir, host_target
    from ebpf.vm.jit.module import ENTRY as SYMBOL
    from ebpf.vm.jit.module import ModuleCompiler

    target = target or host_target()
    convention = "win64cc" if target.windows else ""
    module = ModuleCompiler(program, trusted=trusted, convention=convention)
    support = inline_library() if module.has_lookups else None
    return compile_ir(module.compile(), target=target, tier=tier, entries=[SYMBOL], support=support)


@cache
def inline_library() -> bytes:
    """Return the bitcode of what becomes part of compiled programs."""
    return resources.files("ebpf.codegen").joinpath("images", "support.bc").read_bytes()
