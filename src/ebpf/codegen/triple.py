"""Names of the targets of native images: our own, and LLVM's triples."""

from __future__ import annotations

_PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_TARGETS = {("x86_64", "linux"): "x86_64-sysv", ("x86_64", "windows"): "x86_64-win64", ("aarch64", "linux"): "aarch64"}
_SYSTEMS = {"linux": "linux", "windows": "windows", "win32": "windows", "mingw32": "windows", "w64": "windows"}
_NARROW = ("x32", "ilp32")
"""How environments end (gnux32, gnu_ilp32) whose pointers have 32 bits, for which there is no code."""


def target_of(name: str) -> str:
    """Return the target that a name or a triple (`aarch64-linux-gnu`) means. Raises ValueError with what there is."""
    if name in _TARGETS.values():
        return name
    processor, *rest = name.lower().split("-")
    for word in () if rest and rest[-1].endswith(_NARROW) else rest:
        target = _TARGETS.get((_PROCESSORS.get(processor, ""), _SYSTEMS.get(word, "")))
        if target is not None:
            return target
    raise ValueError(
        f"there is no native code for {name!r}; expected {', '.join(_TARGETS.values())}, or a triple as "
        "aarch64-linux-gnu or x86_64-pc-windows-msvc"
    )
