"""Creation of maps: what each type accepts, and the errno for what it does not (the kernel's map_alloc_check calls).

The limits are those of a 64-bit kernel with 4 KiB pages. Types that need sockets, cgroups, tasks or stack traces do
not exist here: the answer is EINVAL, as from a kernel that is built without them.
"""

from __future__ import annotations

from collections.abc import Callable

from ebpf.abi.linux import E2BIG, EINVAL, ENOTSUPP
from ebpf.abi.types import MapFlag, MapType
from ebpf.plain import NamedTuple
from ebpf.vm import maps
from ebpf.vm.maps.base import ELEMENT_OVERHEAD, FILE_FLAGS, PAGE_SIZE, Map, MapShape, round_up
from ebpf.vm.maps.native import native_kind
from ebpf.vm.maps.storage import native_storage

NR_CPUS = 256
"""The kernel's build-time limit of CPUs, which bounds a CPUMAP."""

_KMALLOC_MAX = 1 << 22
_PERCPU_MAX = 1 << 15
_INT_MAX = (1 << 31) - 1
_MAX_BUCKETS = 1 << 27  # × 16 bytes a bucket must fit 32 bits
_LPM_DATA_MAX = 256
_LPM_NODE = 40

_PROG = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG
_ACCESS = int(_PROG) | FILE_FLAGS
_NUMA = int(MapFlag.NUMA_NODE)
_NO_PREALLOC = int(MapFlag.NO_PREALLOC)
_COMMON_LRU = int(MapFlag.NO_COMMON_LRU)
_HASH_FLAGS = _NO_PREALLOC | _COMMON_LRU | _NUMA | _ACCESS | int(MapFlag.ZERO_SEED)

Check = Callable[[MapShape], int]


def _flags(shape: MapShape, allowed: int) -> int:
    both = shape.flags & _PROG == _PROG
    return -EINVAL if shape.flags & ~allowed or both else 0


def _check_hash(shape: MapShape, *, lru: bool = False, per_cpu: bool = False, slots: bool = False) -> int:
    """htab_map_alloc_check and the bucket count of htab_map_alloc."""
    error = _flags(shape, _HASH_FLAGS)
    if error or (shape.flags & _COMMON_LRU and not lru):
        return error or -EINVAL
    if lru and shape.flags & _NO_PREALLOC:
        return -ENOTSUPP
    if shape.flags & _NUMA and (per_cpu or (lru and shape.flags & _COMMON_LRU)):
        return -EINVAL
    if not (shape.max_entries and shape.key_size and shape.value_size):
        return -EINVAL
    if slots and shape.value_size != 4:
        return -EINVAL
    too_big = shape.key_size + shape.value_size >= _KMALLOC_MAX - ELEMENT_OVERHEAD
    if too_big or (per_cpu and round_up(shape.value_size, 8) > _PERCPU_MAX) or shape.max_entries > _MAX_BUCKETS:
        return -E2BIG
    return 0


def _check_array(shape: MapShape, allowed: int, *, per_cpu: bool = False) -> int:
    """array_map_alloc_check."""
    if not shape.max_entries or shape.key_size != 4 or not shape.value_size or _flags(shape, allowed):
        return -EINVAL
    if per_cpu and shape.flags & _NUMA:
        return -EINVAL
    too_big = shape.value_size > _INT_MAX or (per_cpu and round_up(shape.value_size, 8) > _PERCPU_MAX)
    return -E2BIG if too_big else 0


def _check_slots(shape: MapShape, allowed: int = _NUMA | FILE_FLAGS) -> int:
    """fd_array_map_alloc_check."""
    return -EINVAL if shape.value_size != 4 else _check_array(shape, allowed)


def _check_lpm(shape: MapShape) -> int:
    if not shape.max_entries or not shape.flags & _NO_PREALLOC or _flags(shape, _NO_PREALLOC | _NUMA | _ACCESS):
        return -EINVAL
    if not 5 <= shape.key_size <= 4 + _LPM_DATA_MAX:
        return -EINVAL
    return 0 if 1 <= shape.value_size <= _KMALLOC_MAX - _LPM_DATA_MAX - _LPM_NODE else -EINVAL


def _check_queue(shape: MapShape, allowed: int = _NUMA | _ACCESS) -> int:
    if not shape.max_entries or shape.key_size or not shape.value_size or _flags(shape, allowed):
        return -EINVAL
    return -E2BIG if shape.value_size > _KMALLOC_MAX else 0


def _check_bloom(shape: MapShape) -> int:
    if shape.map_extra & ~0xF:
        return -EINVAL
    return _check_queue(shape, _NUMA | _ACCESS | int(MapFlag.ZERO_SEED))


def _check_ring(shape: MapShape) -> int:
    if shape.flags & ~_NUMA or shape.key_size or shape.value_size:
        return -EINVAL
    size = shape.max_entries
    return -EINVAL if not size or size & (size - 1) or size % PAGE_SIZE else 0


def _check_targets(shape: MapShape, sizes: tuple[int, ...], allowed: int) -> int:
    """Check a map of redirect targets; `sizes` are the value sizes that the program field makes possible."""
    if not shape.max_entries or shape.key_size != 4 or shape.value_size not in sizes:
        return -EINVAL
    return -EINVAL if shape.flags & ~allowed else 0


def _check_cpumap(shape: MapShape) -> int:
    error = _check_targets(shape, (4, 8), _NUMA)
    return error or (-E2BIG if shape.max_entries > NR_CPUS else 0)


def _check_devmap_hash(shape: MapShape) -> int:
    error = _check_targets(shape, (4, 8), _NUMA | FILE_FLAGS)
    # The number of buckets is rounded up to a power of two in 32 bits.
    return error or (-EINVAL if shape.max_entries > 1 << 31 else 0)


class Kind(NamedTuple):
    """How maps of one type are checked, and the class that they are made of, which is imported for the first one."""

    name: str
    check: Check
    seeded: bool = False
    """Whether the map hashes its keys or values."""


_ARRAY_FLAGS = _NUMA | _ACCESS | int(MapFlag.MMAPABLE | MapFlag.PRESERVE_ELEMS | MapFlag.INNER_MAP)
_PLAIN_ARRAY = _ARRAY_FLAGS & ~int(MapFlag.PRESERVE_ELEMS)

KINDS: dict[MapType, Kind] = {
    MapType.HASH: Kind("HashMap", _check_hash, seeded=True),
    MapType.ARRAY: Kind("ArrayMap", lambda shape: _check_array(shape, _PLAIN_ARRAY)),
    MapType.PROG_ARRAY: Kind("ProgramArrayMap", _check_slots),
    MapType.PERF_EVENT_ARRAY: Kind(
        "PerfEventArrayMap", lambda shape: _check_slots(shape, _NUMA | FILE_FLAGS | int(MapFlag.PRESERVE_ELEMS))
    ),
    MapType.PERCPU_HASH: Kind("PercpuHashMap", lambda shape: _check_hash(shape, per_cpu=True), seeded=True),
    MapType.PERCPU_ARRAY: Kind("PercpuArrayMap", lambda shape: _check_array(shape, _ACCESS, per_cpu=True)),
    MapType.LRU_HASH: Kind("LruHashMap", lambda shape: _check_hash(shape, lru=True), seeded=True),
    MapType.LRU_PERCPU_HASH: Kind(
        "LruPercpuHashMap", lambda shape: _check_hash(shape, lru=True, per_cpu=True), seeded=True
    ),
    MapType.LPM_TRIE: Kind("LpmTrieMap", _check_lpm),
    MapType.ARRAY_OF_MAPS: Kind("ArrayOfMapsMap", _check_slots),
    MapType.HASH_OF_MAPS: Kind("HashOfMapsMap", lambda shape: _check_hash(shape, slots=True), seeded=True),
    MapType.DEVMAP: Kind("DevMap", lambda shape: _check_targets(shape, (4, 8), _NUMA | FILE_FLAGS)),
    MapType.CPUMAP: Kind("CpuMap", _check_cpumap),
    MapType.XSKMAP: Kind("XskMap", lambda shape: _check_targets(shape, (4,), _NUMA | FILE_FLAGS)),
    MapType.DEVMAP_HASH: Kind("DevMapHash", _check_devmap_hash),
    MapType.QUEUE: Kind("QueueMap", _check_queue),
    MapType.STACK: Kind("StackMap", _check_queue),
    MapType.RINGBUF: Kind("RingBufferMap", _check_ring),
    MapType.BLOOM_FILTER: Kind("BloomFilterMap", _check_bloom, seeded=True),
}
"""Every type that the embedded kernel has."""

NO_INNER_MAPS = frozenset({MapType.PROG_ARRAY})
"""Types that can't be inside a map of maps for lack of a comparison (ENOTSUPP)."""


def check_shape(shape: MapShape) -> int:
    """Check what a map's creation asks for: 0 or a negative errno."""
    kind = KINDS.get(shape.type)
    if kind is None:
        return -EINVAL
    return kind.check(shape)


def check_template(template: MapShape) -> int:
    """Check the map that a map of maps is to hold: 0 or a negative errno."""
    if template.type in (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS):
        return -EINVAL  # one level only
    return -ENOTSUPP if template.type in NO_INNER_MAPS else 0


def create_map(shape: MapShape, *, cpus: int = 1, seed: int = 0, template: MapShape | None = None) -> Map:
    """Make a map of a checked shape; `template` is the shape of the maps inside a map of maps.

    It is in native storage where its type and this process have that, and EBPF_MAP_STORAGE does not forbid it.
    """
    native = native_kind(shape, cpus=cpus) if native_storage() else None
    make: Callable[..., Map] = native or _class_of(shape)
    if template is not None:
        return make(shape, template=template, cpus=cpus, seed=seed)
    return make(shape, cpus=cpus, seed=seed)


def native_like(map_: Map) -> Map:
    """Return an empty map of the same shape in native storage, for its layout; the map itself where there is none.

    No code is mapped: this process need not be able to use the map.
    """
    native = native_kind(map_.shape, cpus=map_.cpus)
    if map_.native is not None or native is None:
        return map_
    make: Callable[..., Map] = native
    template = getattr(map_, "template", None)
    return make(map_.shape, cpus=map_.cpus, **({} if template is None else {"template": template}))


def cost_of(shape: MapShape, *, cpus: int) -> int:
    """Return the bytes that the creation of a map takes from the kernel's memory limit."""
    return _class_of(shape).cost(shape, cpus=cpus)


def is_seeded(shape: MapShape) -> bool:
    """Whether the hash seed of such a map matters."""
    return KINDS[shape.type].seeded


def _class_of(shape: MapShape) -> type[Map]:
    found: type[Map] = getattr(maps, KINDS[shape.type].name)
    return found
