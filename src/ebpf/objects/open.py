"""Open objects that exist already: by id, by pin, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ebpf.abi.linux import ENOENT
from ebpf.abi.types import Cmd
from ebpf.errors import SystemCallError
from ebpf.runtime import attrs
from ebpf.runtime.info import btf_info, map_info

if TYPE_CHECKING:
    from ebpf.btf import Btf, Type
    from ebpf.objects.map import Map
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle


def open_by_id(runtime: Runtime, cmd: int, number: int) -> Handle:
    """Open an object by its id; the handle is the caller's."""
    return runtime.own(runtime.bpf(cmd, attrs.GetId(start_id=number)))


def iter_ids(runtime: Runtime, cmd: int) -> Iterator[int]:
    """Walk the ids of one kind of object in rising order; new ones may be met or not."""
    number = 0
    while True:
        attr = attrs.GetId(start_id=number)
        try:
            runtime.bpf(cmd, attr)
        except SystemCallError as error:
            if error.linux_errno == ENOENT:
                return
            raise
        number = attr.next_id
        yield number


def iter_handles(runtime: Runtime, next_cmd: int, open_cmd: int) -> Iterator[Handle]:
    """Open each object of one kind; those that go away meanwhile are passed over."""
    for number in iter_ids(runtime, next_cmd):
        try:
            yield open_by_id(runtime, open_cmd, number)
        except SystemCallError as error:
            if error.linux_errno != ENOENT:
                raise


def open_map(runtime: Runtime, handle: Handle) -> Map:
    """Wrap an open map, with the types that the kernel has for it; takes the handle over."""
    from ebpf.objects.classes import class_of
    from ebpf.spec import MapSpec

    try:
        info = map_info(runtime, handle)
        types = read_btf(runtime, info.btf_id) if info.btf_id else None
    except BaseException:
        handle.close()
        raise
    spec = MapSpec(
        info.name,
        info.type,
        info.key_size,
        info.value_size,
        info.max_entries,
        flags=info.flags,
        map_extra=info.map_extra,
        key=_type(types, info.btf_key_type_id),
        value=_type(types, info.btf_value_type_id),
    )
    return class_of(info.type)(runtime, handle, spec, types=types)


def read_btf(runtime: Runtime, number: int) -> Btf:
    """Copy a kernel's BTF object out by its id."""
    from ebpf.btf import Btf

    handle = open_by_id(runtime, Cmd.BTF_GET_FD_BY_ID, number)
    try:
        return Btf.parse(btf_info(runtime, handle, data=True).data)
    finally:
        handle.close()


def _type(types: Btf | None, number: int) -> Type | None:
    return types.by_id(number) if types is not None and number else None
