"""Use a map that exists already, pinned or given, in place of a spec's: only if it is what the spec describes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.abi.linux import EEXIST, ENOENT
from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import MapIncompatibleError, SystemCallError
from ebpf.objects import pins
from ebpf.objects.classes import class_of
from ebpf.objects.create import effective_spec
from ebpf.objects.map import Map
from ebpf.runtime.handle import Handle

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.objects.collection import Sources
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.info import MapInfo
    from ebpf.spec import MapSpec

_LOOSE_FLAGS = MapFlag.MMAPABLE | MapFlag.TOKEN_FD
"""Flags that load adds itself, depending on the kernel."""
_READ_ONLY_DEVMAPS = (MapType.DEVMAP, MapType.DEVMAP_HASH)
_FIELDS = ("type", "key_size", "value_size", "max_entries", "flags", "map_extra")


def check_compatible(spec: MapSpec, map_: Map | MapInfo, *, cpus: int) -> None:
    """Raise MapIncompatibleError with every difference between a spec and an existing map."""
    wanted = effective_spec(spec, cpus=cpus)
    loose = _LOOSE_FLAGS
    if spec.type in _READ_ONLY_DEVMAPS:
        loose |= MapFlag.RDONLY_PROG  # the kernel sets it by itself
    differences: dict[str, tuple[object, object]] = {}
    for field in _FIELDS:
        mine, theirs = getattr(wanted, field), getattr(map_, field)
        if field == "flags":
            mine, theirs = mine & ~loose, theirs & ~loose
        if mine != theirs:
            differences[field] = (mine, theirs)
    if differences:
        shown = ", ".join(f"{field} {mine!s}, the map has {theirs!s}" for field, (mine, theirs) in differences.items())
        error = MapIncompatibleError(
            f"use an existing map for {spec.name}: the spec says {shown}", differences=differences
        )
        error.map = spec.name
        raise error


def use_given(spec: MapSpec, given: Map, *, runtime: Runtime, sources: Sources) -> Map:
    """Return a second object for the caller's map: closing it leaves the caller's open, and the other way round.

    Both have the same sources, to which those of the collection (`sources`) are added: readers of either see the end
    of all that feed the map.
    """
    if given.runtime is not runtime:
        raise ValueError(
            f"map {given.name} given for {spec.name} is of runtime {given.runtime.name}, not {runtime.name}"
        )
    check_compatible(spec, given, cpus=runtime.cpus)
    spec = effective_spec(spec, cpus=runtime.cpus)._replace(flags=given.flags)
    sources.feed_also(given.sources)
    return type(given)(runtime, share(given.handle), spec, types=given.types, sources=given.sources)


def share(handle: Handle) -> Handle:
    """Return a second handle for the same number; the number is closed when both are."""
    loan = handle.borrow()
    return Handle(lambda _: loan.__exit__(None, None, None), loan.__enter__(), what="shared handle")


def open_or_create(
    spec: MapSpec,
    directory: str | None,
    *,
    runtime: Runtime,
    types: Btf | None,
    sources: Sources,
    create: Callable[[MapSpec], Map],
    unpin: ExitStack,
) -> Map:
    """Open `directory/NAME`, or create the map and pin it there; another process may do the same at that moment.

    `unpin` gets what removes a pin that was made here.
    """
    if directory is None:
        raise ValueError(f"map {spec.name} is pinned by name: give load() a pin_path, or set its pinning to 'none'")
    path = os.path.join(directory, spec.name)
    handle = _open(runtime, path)
    if handle is None:
        runtime.pins.make_directory(directory)
        map_ = create(spec)
        try:
            map_.pin(path)
            unpin.callback(pins.remove, runtime, path)
            return map_
        except SystemCallError as error:
            map_.close()
            if error.linux_errno != EEXIST:
                raise
        handle = pins.open_pinned(runtime, path, "map")
    return _adopt(spec, handle, runtime, types, sources)


def _open(runtime: Runtime, path: str) -> Handle | None:
    try:
        return pins.open_pinned(runtime, path, "map")
    except SystemCallError as error:
        if error.linux_errno != ENOENT:
            raise
        return None


def _adopt(spec: MapSpec, handle: Handle, runtime: Runtime, types: Btf | None, sources: Sources) -> Map:
    """Make a map object for an open handle, if that is the map that the spec describes."""
    from ebpf.runtime.info import map_info

    try:
        info = map_info(runtime, handle)
        check_compatible(spec, info, cpus=runtime.cpus)
    except BaseException:
        handle.close()
        raise
    spec = effective_spec(spec, cpus=runtime.cpus)._replace(flags=info.flags)
    return class_of(spec.type)(runtime, handle, spec, types=types, sources=sources)
