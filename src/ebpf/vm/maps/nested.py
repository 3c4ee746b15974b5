"""Maps of maps (kernel/bpf/map_in_map.c, `BPF_MAP_TYPE_ARRAY_OF_MAPS`, `BPF_MAP_TYPE_HASH_OF_MAPS`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.linux import ENOENT
from ebpf.abi.types import MapFlag, MapType
from ebpf.vm.maps.base import LOCK, Map, MapShape
from ebpf.vm.maps.hash import Element, HashMap
from ebpf.vm.maps.slots import SlotArrayMap, ignore

_COUNTED = frozenset({MapType.ARRAY, MapType.XSKMAP})
"""Their size goes into the code that the kernel inlines for look-ups, so max_entries takes part in the comparison."""


def same_kind(template: MapShape, candidate: MapShape) -> bool:
    """Whether a map may stand where `template` was declared (bpf_map_meta_equal)."""
    facts = [(s.type, s.key_size, s.value_size, s.flags, s.lock_offset) for s in (template, candidate)]
    if facts[0] != facts[1]:
        return False
    fixed = template.type in _COUNTED and not template.flags & MapFlag.INNER_MAP
    return not fixed or template.max_entries == candidate.max_entries


class ArrayOfMapsMap(SlotArrayMap):
    """Slots of maps that all look like `template`."""

    program_lookup = True

    def __init__(self, shape: MapShape, *, template: MapShape, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.template = template

    def accepts(self, candidate: Map) -> bool:
        """Whether a map may go into a slot."""
        return same_kind(self.template, candidate.shape)

    def inner(self, key: bytes) -> Map | None:
        """Return the map in a slot, or None."""
        found: Map | None = self.held(int.from_bytes(key[:4], "little"))
        return found


class HashOfMapsMap(HashMap):
    """Maps that all look like `template`, by key."""

    def __init__(self, shape: MapShape, *, template: MapShape, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.template = template
        self.retain: Callable[[Any], None] = ignore
        self.release: Callable[[Any], None] = ignore

    def accepts(self, candidate: Map) -> bool:
        """Whether a map may become a value."""
        return same_kind(self.template, candidate.shape)

    def inner(self, key: bytes) -> Map | None:
        """Return the map under a key, or None."""
        element = self._table.get(key)
        found: Map | None = None if element is None else element.held
        return found

    def check_hold(self, key: bytes, flags: int) -> int:
        """Check what does not depend on the object: nothing, the kernel looks at the object first."""
        return 0

    def hold(self, key: bytes, held: Map, flags: int = 0) -> int:
        """Put a map under a key."""
        self.retain(held)
        old: Any = None
        with self.lock:
            element = self._table.get(key)
            error = self.check_flags(flags & ~LOCK, exists=element is not None)
            if not error and element is not None:
                old, element.held = element.held, held
                element.value = self._identity(held)
            elif not error:
                fresh = Element(key, self._identity(held))
                fresh.held = held
                error = self.make_room(key) or self.place(fresh)
        gone = held if error else old
        if gone is not None:
            self.release(gone)
        return error

    def delete(self, key: bytes) -> int:
        with self.lock:
            element = self.remove(key)
        if element is None:
            return -ENOENT
        self.release(element.held)
        return 0

    def clear(self) -> None:
        for key in list(self._table):
            self.delete(key)

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        return Map.take(self, key, flags)

    def _identity(self, held: Map) -> memoryview:
        return memoryview(held.id.to_bytes(4, "little"))
