"""A whole blob as a C header: every type after those that it needs, as `vmlinux.h` is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ebpf.btf.blob import Btf
from ebpf.btf.format import CWriter
from ebpf.btf.layout import ALIASES
from ebpf.btf.types import (
    Array,
    Enum,
    Enum64,
    FuncProto,
    Fwd,
    Pointer,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)

_DEFINED = (Struct, Union, Enum, Enum64, Typedef)
_TAGGED = (Struct, Union, Enum, Enum64)
_COMPILERS_OWN = frozenset({"__builtin_va_list"})


def format_header(btf: Btf, types: Iterable[Type] | None = None, *, guard: str = "__VMLINUX_H__") -> str:
    """Write a C header with these types (default: all of the blob) and everything that they need, in order.

    A name that several types have gets `___2` from the second on. Records carry `preserve_access_index`, so that
    programs compiled against the header are relocatable (CO-RE). Raises BtfError for damaged types.
    """
    order = _Order(btf)
    for type_ in (*btf.base, *btf) if types is None and btf.base is not None else types or btf:
        order.add(type_)
    order.finish()
    return (
        f"#ifndef {guard}\n#define {guard}\n\n"
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
        "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
        "#endif\n\n" + "\n\n".join(order.texts) + "\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
        f"#pragma clang attribute pop\n#endif\n\n#endif /* {guard} */\n"
    )


class _Order:
    """Depth first over what each type needs, with a stack of its own: hostile chains are long."""

    def __init__(self, btf: Btf) -> None:
        self.texts: list[str] = []
        self._names: dict[Type, str] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._writer = CWriter(btf, self._names)
        self._begun: set[Type] = set()
        self._constants: list[Type] = []
        self._written: set[Type] = set()
        self._declared: set[Type] = set()

    def add(self, type_: Type) -> None:
        """Write a type after all that it needs, unless it was written before."""
        stack = [self._visit(type_, complete=True)]
        while stack:
            need = next(stack[-1], None)
            if need is None:
                stack.pop()
            else:
                stack.append(self._visit(*need))

    def finish(self) -> None:
        """Write the anonymous enumerations that no other type has taken in: their names are constants."""
        for type_ in self._constants:
            if type_ not in self._writer.written:
                self.texts.append(self._writer.define(type_))

    def _visit(self, type_: Type, complete: bool) -> Iterator[tuple[Type, bool]]:
        """Yield what must be there before; then write the type, or its forward declaration."""
        if isinstance(type_, Fwd) or (isinstance(type_, (Struct, Union)) and not complete):
            self._declare(type_)
            return
        if type_ in self._begun:
            return
        self._begun.add(type_)
        yield from (need for need in _needs(type_) if need[0] != type_)
        if isinstance(type_, (Enum, Enum64)) and not type_.name:
            self._constants.append(type_)
        elif isinstance(type_, _DEFINED) and type_.name and type_.name not in _COMPILERS_OWN:
            self._name(type_)
            self.texts.append(self._writer.define(type_))
        self._written.add(type_)

    def _declare(self, type_: Type) -> None:
        if type_ in self._declared or type_ in self._written:
            return
        self._declared.add(type_)
        if not isinstance(type_, Fwd):
            self._name(type_)
        word = "union" if isinstance(type_, Union) or (isinstance(type_, Fwd) and type_.is_union) else "struct"
        self.texts.append(f"{word} {self._writer.name(type_)};")

    def _name(self, type_: Type) -> None:
        if type_ in self._names or not type_.name:
            return
        space = "tag" if isinstance(type_, _TAGGED) else "name"
        count = self._used[space, type_.name] = self._used.get((space, type_.name), 0) + 1
        self._names[type_] = type_.name if count == 1 else f"{type_.name}___{count}"


def _needs(type_: Type) -> Iterator[tuple[Type, bool]]:
    """Yield (type, whether it must be complete) for all that the definition of a type mentions."""
    pending: list[tuple[Type, bool]] = list(_mentioned(type_))
    seen = set(pending)
    while pending:
        here, by_value = pending.pop()
        named = bool(here.name) and isinstance(here, (*_TAGGED, Typedef, Fwd))
        if named:
            yield here, by_value or not isinstance(here, (Struct, Union))
        if not named or (isinstance(here, Typedef) and by_value):
            for step in _parts(here, by_value):
                if step not in seen:
                    seen.add(step)
                    pending.append(step)


def _mentioned(type_: Type) -> Iterator[tuple[Type, bool]]:
    if isinstance(type_, Typedef):
        # A typedef may stand for a struct that is only declared.
        yield type_.target, False
    else:
        yield from _parts(type_, by_value=True)


def _parts(type_: Type, by_value: bool) -> Iterator[tuple[Type, bool]]:
    if isinstance(type_, (Struct, Union)):
        for member in reversed(type_.members):
            yield member.type, True
    elif isinstance(type_, FuncProto):
        yield type_.target, False
        for param in type_.params:
            yield param.type, False
    elif isinstance(type_, Pointer):
        yield type_.target, False
    elif isinstance(type_, Array):
        yield type_.target, True
    elif isinstance(type_, (*ALIASES, Var)):
        yield type_.target, by_value
