"""What an instruction knows besides its fields: the name that `imm` stands for, and the line it comes from."""

from __future__ import annotations

from enum import StrEnum

from ebpf.plain import NamedTuple


class ReferenceKind(StrEnum):
    """What a symbolic reference stands for."""

    MAP = "map"
    MAP_VALUE = "map_value"
    FUNCTION = "function"
    FUNCTION_POINTER = "function_pointer"
    KFUNC = "kfunc"
    KSYM = "ksym"
    KCONFIG = "kconfig"


MAPS = (ReferenceKind.MAP, ReferenceKind.MAP_VALUE)
FUNCTIONS = (ReferenceKind.FUNCTION, ReferenceKind.FUNCTION_POINTER)


class Reference(NamedTuple):
    """A name that load (or `Instructions.encode`) turns into a number. `offset` is in bytes, into a map value.

    Immutable, so that threads may share it.
    """

    kind: ReferenceKind
    name: str
    offset: int = 0


class SourceLine(NamedTuple):
    """Where an instruction comes from. `line` and `column` count from 1, 0 where unknown.

    Immutable, so that threads may share it.
    """

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text.strip()}"
