"""The text of one function: instructions, names, and which SSA value each register is at the moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from ebpf.vm.jit.origins import Region

RARE = ", !prof !0"
"""The first of two ways is taken almost always."""
LIKELY = ", !prof !6"
"""The first of two ways is taken mostly."""


Place: TypeAlias = tuple[Region, int]
"""A region, and which one of its kind."""


@dataclass(slots=True)
class Values:
    """What is known at one point. `registers` are SSA values; a register that is not there is in its variable.

    `sums` maps a value to another one and the constant between them; `proven` are the bytes around such a value that
    an access may touch, by region and permission; `distances` are the distances of values from a region's start.
    `fuel` is what was left `spent` instructions ago.
    """

    registers: dict[int, str] = field(default_factory=dict)
    sums: dict[str, tuple[str, int]] = field(default_factory=dict)
    proven: dict[tuple[str, Place, bool], tuple[int, int]] = field(default_factory=dict)
    distances: dict[tuple[str, Place], str] = field(default_factory=dict)
    fuel: str = ""
    spent: int = 0

    def copy(self) -> Values:
        """Return the same knowledge, to be changed on one of several ways on."""
        return Values(
            self.registers.copy(), self.sums.copy(), self.proven.copy(), self.distances.copy(), self.fuel, self.spent
        )


class Writer:
    """Lines of LLVM IR, those of the rare paths apart, behind the others."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rare: list[str] = []
        self.values = Values()
        self.dirty: set[int] = set()
        self._names = 0

    def name(self) -> str:
        """Return a new name of a value."""
        self._names += 1
        return f"%t{self._names}"

    def label(self, kind: str) -> str:
        """Return a new name of a block."""
        self._names += 1
        return f"{kind}{self._names}"

    def line(self, text: str) -> None:
        self.lines.append(text)

    def value(self, text: str) -> str:
        """Write an instruction and return the name of its value."""
        name = self.name()
        self.lines.append(f"{name} = {text}")
        return name

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def later(self, lines: Iterable[str]) -> None:
        """Write to the rare paths."""
        self.rare.extend(lines)

    # Registers. They are 64 bits wide.

    def read(self, register: int) -> str:
        """Return the value of a register."""
        known = self.values.registers.get(register)
        if known is None:
            known = self.values.registers[register] = self.value(f"load i64, ptr %R{register}")
        return known

    def read_narrow(self, register: int, bits: int) -> str:
        """Return the low bits of a register."""
        whole = self.read(register)
        return whole if bits == 64 else self.value(f"trunc i64 {whole} to i{bits}")

    def write(self, register: int, value: str, bits: int = 64) -> None:
        """Set a register; a narrow value is zero-extended."""
        if bits != 64:
            value = self.value(f"zext i{bits} {value} to i64")
        self.values.registers[register] = value
        self.dirty.add(register)

    def flush(self, live: int) -> None:
        """Store what has changed into the variables of the registers that matter later, at the end of a block."""
        for register in sorted(self.dirty):
            if live >> register & 1:
                self.line(f"store i64 {self.values.registers[register]}, ptr %R{register}")
        self.dirty.clear()

    def flush_fuel(self) -> None:
        """Store the fuel, for a block that is reached in several ways."""
        values = self.values
        left = self.value(f"sub i64 {values.fuel}, {values.spent}") if values.spent else values.fuel
        self.line(f"store i64 {left}, ptr %FUEL")

    def add(self, value: str, constant: int) -> str:
        """Return value + constant, and remember the sum."""
        if not constant:
            return value
        root, known = self.values.sums.get(value, (value, 0))
        result = self.value(f"add i64 {value}, {constant}")
        self.values.sums[result] = (root, known + constant)
        return result
