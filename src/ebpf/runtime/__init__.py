"""Runtimes: what loads and runs programs, all answering the same bpf() call.

`linux()` and `embedded(...)` give one, `choose(spec)` says which one "auto" means here and why, `current()` is the
runtime in use, `select(...)` turns a name or a runtime into a runtime.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.runtime.base import MapIO, MappedMemory, Pins, RingMemory, Runner, Runtime, Waiter
    from ebpf.runtime.current import Choice
    from ebpf.runtime.facts import Limits, MapFacts, ProgramFacts, Redirect, RunResult
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.hooks import Hook, PacketsHook, SocketFilterHook, TracepointHook
    from ebpf.spec import CollectionSpec

__all__ = [
    "Choice",
    "Handle",
    "Hook",
    "Limits",
    "MapFacts",
    "MapIO",
    "MappedMemory",
    "PacketsHook",
    "Pins",
    "ProgramFacts",
    "Redirect",
    "RingMemory",
    "RunResult",
    "Runner",
    "Runtime",
    "SocketFilterHook",
    "TracepointHook",
    "Waiter",
    "choose",
    "current",
    "embedded",
    "linux",
    "select",
]

__getattr__ = lazy_names(__name__, {
    "base": ("MapIO", "MappedMemory", "Pins", "RingMemory", "Runner", "Runtime", "Waiter"),
    "current": ("Choice",),
    "facts": ("Limits", "MapFacts", "ProgramFacts", "Redirect", "RunResult"),
    "handle": ("Handle",),
    "hooks": ("Hook", "PacketsHook", "SocketFilterHook", "TracepointHook"),
})  # fmt: skip


class _Package(ModuleType):
    """This package, whose functions `linux`, `embedded` and `current` share their names with submodules.

    The import system sets a submodule as an attribute of its package after importing it, whenever that happens to
    be first, and would put the module in the function's place. Assigning `__class__` of a module is the documented
    way to customise that. The submodules stay reachable by `from ebpf.runtime.linux import ...` and sys.modules.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and isinstance(self.__dict__.get(name), FunctionType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

NAMES = ("linux", "embedded")


def linux() -> Runtime:
    """Return the Linux kernel as a runtime; always the same object. Nothing is called until it is used.

    On another system every call of it raises NotSupportedError.
    """
    return linux_kernel("asked for")


def embedded(
    *,
    personality: str = "linux",
    cpus: int = 1,
    seed: int | None = None,
    clock: Callable[[], int] | None = None,
    limits: Limits | None = None,
    extensions: Sequence[object] = (),
    store: object = None,
    pin_dir: str | os.PathLike[str] | None = None,
) -> Runtime:
    """Return a new user-space kernel of its own; the caller closes it.

    It needs no privileges and runs on every system. EmbeddedRuntime says what the options mean; NotSupportedError
    for a `personality` other than "linux", and for `extensions` and a `store`, which this version has not.
    """
    from ebpf.runtime.embedded.kernel import EmbeddedRuntime

    return EmbeddedRuntime(
        personality=personality,
        cpus=cpus,
        seed=seed,
        clock=clock,
        limits=limits,
        extensions=extensions,
        store=store,
        pin_dir=pin_dir,
    )


def current() -> Runtime:
    """Return the runtime that "auto" means at this moment; `.reason` says why."""
    return choose().runtime


def select(runtime: Runtime | str, spec: CollectionSpec | None = None) -> Runtime:
    """Turn "auto", "linux", "embedded" or a runtime into a runtime; `spec` is what is about to be loaded.

    "embedded" is the one embedded kernel that this process shares: what one part of a program creates there,
    another can list. Use `embedded()` for one that nobody else sees.
    """
    if not isinstance(runtime, str):
        if not hasattr(runtime, "bpf"):
            raise TypeError(f"runtime is {', '.join(('auto', *NAMES))} or a Runtime, got {type(runtime).__name__}")
        return runtime
    return choose(spec).runtime if runtime == "auto" else named(runtime, "asked for")


def choose(spec: CollectionSpec | None = None) -> Choice:
    """Decide what "auto" means for `spec` (None: for anything) and log it.

    In this order: what the environment variable EBPF_RUNTIME names; the Linux kernel, where this user may load each
    program; the embedded kernel, only if it knows each program's type and attach type. Loading a two-instruction
    program of each type is how it finds out. Raises MissingPrivilegeError that names the program, the privilege and
    what the embedded kernel lacks; NotSupportedError where no kernel is at hand that a privilege would open.
    """
    from ebpf.runtime.current import choose

    return choose(spec)


@cache
def linux_kernel(reason: str) -> Runtime:
    """Return the Linux kernel, one object for each reason."""
    from ebpf.runtime.linux.kernel import LinuxRuntime

    return LinuxRuntime(reason=reason)


@cache
def shared_kernel() -> Runtime:
    """Return the embedded kernel that this process shares."""
    return embedded()


def named(name: str, reason: str) -> Runtime:
    """Return the runtime of that name. Raises ValueError for another one than `NAMES`."""
    if name == "linux":
        return linux_kernel(reason)
    if name == "embedded":
        return shared_embedded(reason)
    raise ValueError(f"runtime {name!r} is unknown; expected auto, {' or '.join(NAMES)}")


def shared_embedded(reason: str) -> Runtime:
    """Return it for another reason than before."""
    runtime = shared_kernel()
    runtime.reason = reason  # type: ignore[misc]  # read-only for users; what chooses a runtime says why
    return runtime
