"""Runtimes: what loads and runs programs, all answering the same bpf() call.

`linux()` and `embedded(...)` give one, `choose(spec)` says which one "auto" means here and why, `current()` is the
runtime in use, `select(...)` turns a name or a runtime into a runtime.
"""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names
from ebpf.runtime.current import Choice, choose, current, embedded, linux, select

if TYPE_CHECKING:
    from ebpf.runtime.base import MapIO, MappedMemory, Pins, RingMemory, Runner, Runtime, Waiter
    from ebpf.runtime.facts import Limits, MapFacts, ProgramFacts, Redirect, RunResult
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.hooks import Hook, PacketsHook, SocketFilterHook, TracepointHook

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
