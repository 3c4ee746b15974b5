"""Element access without records of bpf_attr in between: the same checks, storage and errors as the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ebpf.abi.linux import EINVAL, ENOENT
from ebpf.abi.types import Cmd, UpdateFlag
from ebpf.runtime.defaults import BpfMapIO
from ebpf.runtime.embedded.maps import MapCommands
from ebpf.runtime.errors import system_call_error
from ebpf.vm.fault import Rejected
from ebpf.vm.maps.nativehash import NativeHash

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.errors import SystemCallError
    from ebpf.runtime.embedded.kernel import EmbeddedRuntime
    from ebpf.runtime.facts import MapFacts

_LOCK = int(UpdateFlag.LOCK)


class EmbeddedMapIO(BpfMapIO):
    """Element access of one map; batches go through bpf(). Threads may share it."""

    def __init__(self, runtime: EmbeddedRuntime, map_: MapFacts) -> None:
        super().__init__(runtime, map_)
        self._kernel = runtime
        self._maps = MapCommands(runtime.state)

    def lookup(self, key: Buffer, *, flags: int = 0) -> bytes:
        key = self._key(key)
        with self._map.handle.borrow() as fd:
            try:
                self._check(flags)
                file, obj = self._kernel.state.handles.map_file(fd)
                return self._maps.read(file, obj, key, flags, bytes(self._value_size))
            except Rejected as error:
                raise _public(Cmd.MAP_LOOKUP_ELEM, error) from None

    def lookup_and_delete(self, key: Buffer, *, flags: int = 0) -> bytes:
        key = self._key(key)
        with self._map.handle.borrow() as fd:
            try:
                self._check(flags)
                file, obj = self._kernel.state.handles.map_file(fd)
                return self._maps.pop(file, obj, key, flags)
            except Rejected as error:
                raise _public(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, error) from None

    def update(self, key: Buffer, value: Buffer, *, flags: int = 0) -> None:
        key, value = self._key(key), self._sized("value", value, self._value_size)
        with self._map.handle.borrow() as fd:
            try:
                file, obj = self._kernel.state.handles.map_file(fd)
                self._maps.write(file, obj, key, value, flags)
            except Rejected as error:
                raise _public(Cmd.MAP_UPDATE_ELEM, error) from None

    def delete(self, key: Buffer) -> None:
        key = self._key(key)
        with self._map.handle.borrow() as fd:
            try:
                file, obj = self._kernel.state.handles.map_file(fd)
                self._maps.remove(file, obj, key)
            except Rejected as error:
                raise _public(Cmd.MAP_DELETE_ELEM, error) from None

    def next_key(self, key: Buffer | None) -> bytes | None:
        key = None if key is None else self._key(key)
        with self._map.handle.borrow() as fd:
            try:
                file, obj = self._kernel.state.handles.map_file(fd)
                return self._maps.key_after(file, obj, key)
            except Rejected as error:
                if error.errno == ENOENT:
                    return None
                raise _public(Cmd.MAP_GET_NEXT_KEY, error) from None

    def lookup_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = []
        with self._map.handle.borrow() as fd:
            at_once = self._read_many(fd, [bytes(self._key(key)) for key in keys])
            if at_once is not None:
                return at_once
            for key in keys:
                self._key(key)
                try:
                    file, obj = self._kernel.state.handles.map_file(fd)
                    found.append(self._maps.read(file, obj, key, 0, bytes(self._value_size)))
                except Rejected as error:
                    if error.errno != ENOENT:
                        raise _public(Cmd.MAP_LOOKUP_ELEM, error) from None
                    found.append(None)
        return found

    def _read_many(self, fd: int, keys: list[bytes]) -> list[bytes | None] | None:
        """Read from a hash table in native storage; None where the map is none."""
        try:
            file, obj = self._kernel.state.handles.map_file(fd)
            if not isinstance(obj.map, NativeHash):
                return None
            self._maps.need_read(file)
        except Rejected as error:
            raise _public(Cmd.MAP_LOOKUP_ELEM, error) from None
        return obj.map.read_many(keys)

    def _check(self, flags: int) -> None:
        if flags & ~_LOCK:
            raise Rejected(EINVAL, f"flags {flags:#x} mean nothing to a look-up")


def _public(cmd: int, error: Rejected) -> SystemCallError:
    return system_call_error(cmd, error.errno, message=error.message)
