"""Values of a per-CPU map (`BPF_MAP_TYPE_PERCPU_*`): one for each possible CPU."""

from __future__ import annotations

from functools import reduce
from typing import Any


class PerCpu(list[Any]):
    """One value for each possible CPU, in the order of CPU numbers; a copy, detached from the map.

    As with any list, threads may share it while none changes it.
    """

    __slots__ = ()

    def sum(self) -> Any:
        """Add the values of all CPUs: numbers as they are, structs and arrays member by member.

        Raises TypeError where a member has no sum (text, bytes).
        """
        return reduce(_add, self)

    def __repr__(self) -> str:
        return f"PerCpu({super().__repr__()})"


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, (int, float)):
        return left + right
    if isinstance(left, (bytes, str)):
        raise TypeError(f"{type(left).__name__} values have no sum; take them from the list one by one")
    import dataclasses  # few maps have structs for values

    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        names = [field.name for field in dataclasses.fields(left)]
        return dataclasses.replace(left, **{name: _add(getattr(left, name), getattr(right, name)) for name in names})
    if isinstance(left, (list, tuple)):
        members = [_add(a, b) for a, b in zip(left, right, strict=True)]
        return members if isinstance(left, list) else tuple(members)  # sums of bytes are no bytes (`ByteTuple`)
    return left + right
