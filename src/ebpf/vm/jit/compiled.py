"""Programs as native code: compiled when they are first run, or found in the cache of earlier processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.vm.jit.state import ENTRY
from ebpf.vm.program import Program

if TYPE_CHECKING:
    import ctypes

    from ebpf.codegen.compiler import Target, Tier, Work
    from ebpf.codegen.flat import FlatCode
    from ebpf.vm.jit.module import ModuleCompiler
    from ebpf.vm.maps import Map

log = logging.getLogger("ebpf")


class CompiledProgram:
    """Native code of one program. It stays mapped while this object lives; threads may share it.

    `run(machine)` and `run_released(machine)` are called as those of `codegen.image.Image`. `is_long` is set once a
    run took long enough for other threads to be let run meanwhile.
    """

    def __init__(self, code: FlatCode) -> None:
        from ctypes import CFUNCTYPE, PYFUNCTYPE, c_uint64

        from ebpf.codegen.executable import Executable

        self._executable = Executable(code.code)
        self.address = self._executable.address + code.symbols[ENTRY]
        self.run: Callable[[ctypes.c_void_p], int] = PYFUNCTYPE(c_uint64)(self.address)
        self.run_released: Callable[[ctypes.c_void_p], int] = CFUNCTYPE(c_uint64)(self.address)
        self.is_long = False

    def __del__(self) -> None:
        executable = getattr(self, "_executable", None)
        if executable is not None:
            executable.close()


def cached_code(program: Program, *, tier: Tier, trusted: bool) -> FlatCode:
    """Return a program's code for this process, from the cache on disk where it is there.

    Raises CompileError, and ImageError where the installation lacks a part.
    """
    from ebpf.codegen.cache import ObjectCache

    cache = ObjectCache()
    key = None if cache.off else _key(program, tier=tier, trusted=trusted)
    code = None if key is None else cache.get(key)
    if code is None:
        code = compile_program(program, tier=tier, trusted=trusted)
        if key is not None:
            cache.put(key, code)
    return code


def _key(program: Program, *, tier: Tier, trusted: bool) -> bytes | None:
    """Return what a program's code depends on: instructions, context, maps, this host and this library.

    None where this can't be found out: the code is then good for this process, and for no other.
    """
    from ebpf.codegen.cache import cache_key
    from ebpf.codegen.fingerprint import host_fingerprint, source_fingerprint
    from ebpf.codegen.image import ImageError, read_support

    facts = (int(program.type), program.attach_type, program.functions, tier.value, trusted)
    maps = "\n".join(_shape(map_) for map_ in program.maps)
    try:
        compilers = source_fingerprint("vm", "vm.jit", "vm.maps", "codegen")
        made_by = read_support(), compilers, host_fingerprint()
    except (OSError, ImageError) as error:
        log.info("compiled programs are not kept: %s", error)
        return None
    return cache_key(program.xlated, repr(facts).encode(), maps.encode(), *made_by)


def _shape(map_: Map) -> str:
    from ebpf.vm.jit.maps import describe  # with what writes code for maps, which a program without them has no use of

    return describe(map_)


def compile_program(program: Program, *, tier: Tier, trusted: bool = False, target: Target | None = None) -> FlatCode:
    """Compile a program for this process, or for another target. Raises CompileError."""
    from ebpf.codegen.compiler import compile_ir, host_target
    from ebpf.codegen.image import read_support
    from ebpf.vm.jit.module import ModuleCompiler

    target = target or host_target()
    convention = "win64cc" if target.windows else ""
    module = ModuleCompiler(program, trusted=trusted, convention=convention)
    support = read_support() if module.has_lookups else None
    return compile_ir(module.compile(), target=target, tier=tier, entries=[ENTRY], support=support, work=_work(module))


def _work(module: ModuleCompiler) -> Work:
    from ebpf.codegen.compiler import Work

    if module.has_loops:
        return Work.LOOPS
    return Work.CALLS if len(module.functions) > 1 else Work.LINES
