"""The short form of a counted loop, and the comparison before it: its fuel lasts, and what it accesses is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.vm.jit.loops import Linear, Loop, Reach
from ebpf.vm.jit.origins import NOTHING, Origin, Region

if TYPE_CHECKING:
    from ebpf.vm.jit.function import FunctionCompiler
    from ebpf.vm.jit.writer import Writer

_MOST = 1 << 31
"""Iterations; also the values of counters of which only the lower halves are compared."""
_LAST = {"ult": -1, "ule": -1, "slt": (1 << 63) - 1, "sle": (1 << 63) - 1}
"""Relation → the largest number there is for it."""
_STEEP = 1 << 16
"""Bytes between the accesses of two iterations: sums of this size do not overflow."""

Group = tuple[Origin, bool, tuple[tuple[int, int], ...]]
"""Accesses that one comparison covers: region, whether they write, and what their addresses are relative to."""


class Guard:
    """Writes the comparison. `covered` are the slots of the accesses that need none of their own then."""

    def __init__(self, compiler: FunctionCompiler, loop: Loop) -> None:
        self._compiler = compiler
        self._writer = compiler.writer
        self._loop = loop
        self._conditions: list[str] = []
        self.covered: set[int] = set()

    def write(self) -> str:
        """Write it, and return the i1 that says whether the short form of the loop may run."""
        passes = self._passes()
        last = self._writer.value(f"call i64 @llvm.usub.sat.i64(i64 {passes}, i64 1)")
        self._require_fuel(passes)
        for (origin, write, terms), reaches in self._groups().items():
            self._cover(origin, write, terms, reaches, last if all(reach.tested for reach in reaches) else passes)
        result = self._conditions[0]
        for condition in self._conditions[1:]:
            result = self._writer.value(f"and i1 {result}, {condition}")
        return result

    def _require(self, text: str) -> None:
        self._conditions.append(self._writer.value(text))

    def _sum(self, linear: Linear) -> str:
        """Write a sum of registers as they are before the loop."""
        writer, total = self._writer, ""
        for register, factor in linear.terms:
            value = writer.read(register)
            term = value if factor == 1 else writer.value(f"mul i64 {value}, {factor}")
            total = writer.value(f"add i64 {total}, {term}") if total else term
        if not total:
            return str(linear.constant)
        return writer.value(f"add i64 {total}, {linear.constant}") if linear.constant else total

    def _passes(self) -> str:
        """Write how often the test stays in the loop, at most."""
        test, writer = self._loop.test, self._writer
        first = self._sum(Linear(((test.counter, 1),), test.offset))
        bound = self._sum(test.bound)
        distance = writer.value(f"sub i64 {bound}, {first}")
        self._require(f"icmp ult i64 {distance}, {_MOST}")
        if test.relation in _LAST:
            # Behind the bound the counter must not begin again from below, where it would stay in the loop.
            self._require(f"icmp {test.relation[0]}le i64 {bound}, {_LAST[test.relation] - test.step}")
        if test.narrow:
            self._require(f"icmp ult i64 {first}, {_MOST}")
            self._require(f"icmp ult i64 {writer.read(test.counter)}, {_MOST}")
        if test.relation == "ne":
            self._require(f"icmp eq i64 {writer.value(f'urem i64 {distance}, {test.step}')}, 0")
            return writer.value(f"udiv i64 {distance}, {test.step}")
        if test.relation in ("ule", "sle"):
            return writer.value(f"add i64 {writer.value(f'udiv i64 {distance}, {test.step}')}, 1")
        rounded = writer.value(f"add i64 {distance}, {test.step - 1}")
        return writer.value(f"udiv i64 {rounded}, {test.step}")

    def _require_fuel(self, passes: str) -> None:
        writer = self._writer
        iterations = writer.value(f"add i64 {passes}, 1")
        needed = writer.value(f"mul i64 {iterations}, {self._loop.instructions}")
        self._require(f"icmp sge i64 {writer.values.fuel}, {needed}")

    def _groups(self) -> dict[Group, list[Reach]]:
        groups: dict[Group, list[Reach]] = {}
        for reach in self._loop.reaches:
            origin = self._compiler.origins.at.get(reach.at, NOTHING)
            if self._can_cover(origin, reach):
                for write, wanted in ((False, reach.access.reads), (True, reach.access.writes)):
                    if wanted:
                        groups.setdefault((origin.moved(), write, reach.address.terms), []).append(reach)
        return groups

    def _can_cover(self, origin: Origin, reach: Reach) -> bool:
        """Tell whether the region of an access stays what it is, and where, while the loop runs."""
        if origin.region is Region.STACK and origin.exact is not None:
            return False  # has no check
        if abs(self._loop.slope(reach.address)) >= _STEEP or abs(reach.address.constant) >= _MOST:
            return False
        if origin.region is Region.ELEMENT and origin.which in self._compiler.slots_of(self._loop):
            return False
        return origin.region in (Region.PACKET, Region.STACK) or self._compiler.regions.may_access(origin, reach.access)

    def _cover(
        self, origin: Origin, write: bool, terms: tuple[tuple[int, int], ...], reaches: list[Reach], iterations: str
    ) -> None:
        writer = self._writer
        start = min(reach.address.constant for reach in reaches)
        width = max(reach.address.constant + reach.access.size for reach in reaches) - start
        slope = self._loop.slope(Linear(terms))
        way = writer.value(f"mul i64 {iterations}, {abs(slope)}")
        lowest = self._sum(Linear(terms, start))
        if slope < 0:
            lowest = writer.value(f"sub i64 {lowest}, {way}")
        span = writer.value(f"add i64 {way}, {width}")
        size = self._compiler.regions.room(origin, 1, write=write)
        distance = writer.value(f"sub i64 {lowest}, {self._compiler.regions.bounds(origin).first}")
        self._require(f"icmp ule i64 {span}, {size}")
        self._require(f"icmp ule i64 {distance}, {writer.value(f'sub i64 {size}, {span}')}")
        self.covered.update(reach.at for reach in reaches)


class Fast:
    """The form of a counted loop without looks at the fuel, which follows from the counter.

    `first` is the counter before the loop and `fuel_before` the fuel; `counter` is it when an iteration begins. `exits`
    are the ways out: label → block, and instructions since then.
    """

    def __init__(self, loop: Loop, first: str, fuel_before: str) -> None:
        self.loop = loop
        self.first = first
        self.fuel_before = fuel_before
        self.counter = ""
        self.exits: dict[str, tuple[int, int]] = {}

    def fuel(self, writer: Writer) -> tuple[list[str], str]:
        """Return the lines that compute the fuel when the iteration began, and its name."""
        way, iterations, cost, fuel = (writer.name() for _ in range(4))
        lines = [
            f"{way} = sub i64 {self.counter}, {self.first}",
            f"{iterations} = udiv exact i64 {way}, {self.loop.test.step}",
            f"{cost} = mul i64 {iterations}, {self.loop.instructions}",
            f"{fuel} = sub i64 {self.fuel_before}, {cost}",
        ]
        return lines, fuel

    def exit(self, writer: Writer, target: int) -> str:
        """Return the label of a way out."""
        label = writer.label("out")
        self.exits[label] = (target, writer.values.spent)
        return label
