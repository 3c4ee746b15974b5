"""Maps without keys: `BPF_MAP_TYPE_QUEUE`, `STACK` and `BLOOM_FILTER`."""

from __future__ import annotations

from typing import Any

from ebpf.abi.types import Cmd, UpdateFlag
from ebpf.errors import KeyNotFoundError
from ebpf.objects.map import Map
from ebpf.runtime import attrs


class QueueMap(Map):
    """First in, first out (`BPF_MAP_TYPE_QUEUE`, Linux 4.20).

    put() to a full one raises MapFullError, get() and peek() from an empty one KeyNotFoundError; nothing waits.
    """

    __hash__ = Map.__hash__
    __eq__ = Map.__eq__

    def put(self, value: Any, *, displace: bool = False) -> None:
        """Add a value; with `displace` a full map loses its oldest one instead of refusing (BPF_EXIST)."""
        self.io.update(b"", self._value_codec.encode(value), flags=UpdateFlag.EXIST if displace else UpdateFlag.ANY)

    def get(self, *, raw: bool = False) -> Any:
        """Remove the next value and return it."""
        return self._value_codec.decode(self.io.lookup_and_delete(b""), raw=raw)

    def peek(self, *, raw: bool = False) -> Any:
        """Return the next value and leave it there."""
        return self._value_codec.decode(self.io.lookup(b""), raw=raw)

    def __bool__(self) -> bool:
        """True if there is a value (one peek: these maps have no keys to walk)."""
        try:
            self.io.lookup(b"")
        except KeyNotFoundError:
            return False
        return True


class StackMap(QueueMap):
    """Last in, first out (`BPF_MAP_TYPE_STACK`, Linux 4.20); otherwise as QueueMap."""


class BloomFilter(Map):
    """A bloom filter (`BPF_MAP_TYPE_BLOOM_FILTER`, Linux 5.16): `value in map` may be wrong when it says yes."""

    __hash__ = Map.__hash__
    __eq__ = Map.__eq__

    def add(self, value: Any) -> None:
        """Add a value; it can't be removed."""
        self.io.update(b"", self._value_codec.encode(value))

    def __contains__(self, value: object) -> bool:
        """False if the value was never added, True if it probably was."""
        data = bytearray(self._value_codec.encode(value))
        with self._handle.borrow() as fd:
            try:
                # The value is the question here: the kernel reads where other look-ups write.
                self.runtime.bpf(Cmd.MAP_LOOKUP_ELEM, attrs.MapElem(map_fd=fd, value=data))
            except KeyNotFoundError:
                return False
        return True

    def __bool__(self) -> bool:
        """Always True: a bloom filter can't say whether it is empty."""
        return True
