"""Element calls without building a record: a prepared union and slots for key and value (2 µs a call)."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

from ebpf.abi.linux import EINTR
from ebpf.abi.types import Cmd
from ebpf.runtime.attrs import MapElem
from ebpf.runtime.defaults import BpfMapIO
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.linux import call
from ebpf.runtime.memory import pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from ebpf.runtime.base import Runtime
    from ebpf.runtime.facts import MapFacts

# union bpf_attr for element commands: map_fd, padding, key, value, flags.
_ELEMENT = struct.Struct("=IIQQQ")
_FLAGS = struct.Struct("=Q")
_LOOKUP, _UPDATE, _DELETE = Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_UPDATE_ELEM, Cmd.MAP_DELETE_ELEM
_TAKE = Cmd.MAP_LOOKUP_AND_DELETE_ELEM


class _Slots:
    """A union whose pointers lead to `key` and `value`; used by one call at a time.

    `bare` is the address of a second union without a value: MAP_DELETE_ELEM refuses members it does not know.
    """

    __slots__ = ("address", "bare", "keepalive", "key", "union", "value")

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self.union, bare = bytearray(_ELEMENT.size), bytearray(_ELEMENT.size)
        key, value = bytearray(key_size), bytearray(value_size)
        addresses = [pin(part, writable=True) for part in (self.union, key, value, bare)]
        self.address, self.bare = addresses[0].number, addresses[3].number
        self.key, self.value = memoryview(key), memoryview(value)
        self.keepalive = addresses
        _ELEMENT.pack_into(self.union, 0, fd, 0, addresses[1].number, addresses[2].number, 0)
        _ELEMENT.pack_into(bare, 0, fd, 0, addresses[1].number, 0, 0)


class LinuxMapIO(BpfMapIO):
    """Element access with prepared memory for single elements; batches are the default's. Threads may share it."""

    def __init__(self, runtime: Runtime, map_: MapFacts) -> None:
        super().__init__(runtime, map_)
        self._borrow = map_.handle.borrow
        # Every call takes slots out and puts them back, so that threads and signal handlers never share a set.
        self._free: list[_Slots] = []
        self._call: Callable[[int, int, int], int] = call.bpf_function()

    def lookup(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Return the value of `key`. Raises KeyNotFoundError."""
        return self._element(_LOOKUP, key, None, flags)

    def lookup_and_delete(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Remove `key` and return its value, in one step; queues and stacks take an empty key."""
        return self._element(_TAKE, key, None, flags)

    def update(self, key: Buffer, value: Buffer, *, flags: int = 0) -> None:
        """Set the value of `key`; `flags` are UpdateFlag. Raises KeyExistsError, KeyNotFoundError, MapFullError."""
        self._element(_UPDATE, key, value, flags)

    def delete(self, key: Buffer) -> None:
        """Remove `key`. Raises KeyNotFoundError."""
        self._element(_DELETE, key, None, 0)

    def _element(self, cmd: int, key: Buffer, value: Buffer | None, flags: int) -> bytes:
        with self._borrow() as fd:
            try:
                slots = self._free.pop()
            except IndexError:
                slots = _Slots(fd, self._map.key_size, self._value_size)
            try:
                return self._filled(slots, cmd, key, value, flags)
            finally:
                self._free.append(slots)

    def _filled(self, slots: _Slots, cmd: int, key: Buffer, value: Buffer | None, flags: int) -> bytes:
        try:
            slots.key[:] = key
            if value is not None:
                slots.value[:] = value
        except (ValueError, TypeError):
            # A wrong length, or a view of something else than bytes; the check raises in the first case.
            slots.key[:] = memoryview(self._key(key)).cast("B")
            if value is not None:
                slots.value[:] = memoryview(self._sized("value", value, self._value_size)).cast("B")
        _FLAGS.pack_into(slots.union, 24, flags)
        if call.log.isEnabledFor(logging.DEBUG):
            return self._logged(slots, cmd, flags)
        address = slots.bare if cmd is _DELETE else slots.address
        while self._call(cmd, address, _ELEMENT.size) < 0:
            errno = call.last_errno()
            if errno != EINTR:
                raise system_call_error(cmd, errno)
        return bytes(slots.value) if value is None and cmd is not _DELETE else b""

    def _logged(self, slots: _Slots, cmd: int, flags: int) -> bytes:
        fd = _ELEMENT.unpack_from(slots.union)[0]
        attr = MapElem(map_fd=fd, key=slots.key, value=None if cmd is _DELETE else slots.value, flags=flags)
        result = call.bpf(cmd, attr)
        if result < 0:
            raise system_call_error(cmd, -result)
        return bytes(slots.value)
