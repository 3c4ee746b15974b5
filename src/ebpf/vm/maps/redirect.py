"""Redirect targets (kernel/bpf/devmap.c, cpumap.c, net/xdp/xskmap.c).

The embedded kernel has no devices to send to, so the targets are plain numbers: any interface index is accepted, and
where a packet was sent to comes back in the result of the run.
"""

from __future__ import annotations

from ebpf.abi.linux import (
    E2BIG,
    EBADF,
    EEXIST,
    EINVAL,
    ENODEV,
    EOPNOTSUPP,
    EOVERFLOW,
)
from ebpf.vm.maps.base import EXIST, NOEXIST, Map, MapShape
from ebpf.vm.maps.hash import HashMap

CPUMAP_MAX_QUEUE = 16384


class DevMap(Map):
    """Interface indices by number (`BPF_MAP_TYPE_DEVMAP`). Values: u32 ifindex and, at 8 bytes, a u32 program."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._targets: dict[int, memoryview] = {}

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return 8 * shape.max_entries

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        return self._targets.get(int.from_bytes(key[:4], "little"))

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        index = int.from_bytes(key[:4], "little")
        error = self.check_target(index, value, flags)
        if error:
            return error
        self.set_target(index, memoryview(bytes(value)) if int.from_bytes(value[:4], "little") else None)
        return 0

    def check_target(self, index: int, value: bytes, flags: int) -> int:
        """Check an update."""
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        return _check_device(value)

    def delete(self, key: bytes) -> int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -EINVAL
        self.set_target(index, None)
        return 0

    def set_target(self, index: int, target: memoryview | None) -> None:
        """Place a target, or take it away."""
        with self.lock:
            if target is None:
                self._targets.pop(index, None)
            else:
                self._targets[index] = target

    def next_key(self, key: bytes | None) -> bytes | int:
        return self.index_after(key)


class DevMapHash(HashMap):
    """Interface indices by any 4-byte key (`BPF_MAP_TYPE_DEVMAP_HASH`)."""

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return 8 * shape.max_entries

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        if flags > EXIST or not int.from_bytes(value[:4], "little"):
            return -EINVAL
        error = _check_device(value)
        with self.lock:
            exists = key in self._table
            if error or (exists and flags == NOEXIST):
                return error or -EEXIST
            # The kernel ignores BPF_EXIST here.
            return super().update(key, value, EXIST if exists else 0)

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        return Map.take(self, key, flags)


class CpuMap(DevMap):
    """Queue sizes by CPU (`BPF_MAP_TYPE_CPUMAP`). Values: u32 queue size and, at 8 bytes, a u32 program."""

    def check_target(self, index: int, value: bytes, flags: int) -> int:
        if flags > EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        if int.from_bytes(value[:4], "little") > CPUMAP_MAX_QUEUE:
            return -EOVERFLOW
        return -ENODEV if index >= self.cpus else 0


class XskMap(DevMap):
    """AF_XDP sockets by number (`BPF_MAP_TYPE_XSKMAP`); there are none here, so every slot stays empty."""

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        return -EOPNOTSUPP

    def check_target(self, index: int, value: bytes, flags: int) -> int:
        if flags > EXIST:
            return -EINVAL
        return -E2BIG if index >= self.max_entries else -EBADF


def _check_device(value: bytes) -> int:
    """Check a target; a program to run on the device is refused, as the kernel refuses what is no program for it."""
    return -EINVAL if int.from_bytes(value[4:8], "little", signed=True) > 0 else 0
