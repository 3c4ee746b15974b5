"""Map storage of the embedded kernel: one module per kind of map."""

from __future__ import annotations

from ebpf.vm.maps.array import ArrayMap
from ebpf.vm.maps.base import Map, MapShape
from ebpf.vm.maps.hash import HashMap

__all__ = ["ArrayMap", "HashMap", "Map", "MapShape"]
