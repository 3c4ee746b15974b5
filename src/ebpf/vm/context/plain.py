"""Contexts that are plain memory: raw tracepoint arguments and what a syscall program is given."""

from __future__ import annotations

from ebpf.vm.context.redirect import Redirect
from ebpf.vm.fault import Fault
from ebpf.vm.memory import AddressSpace


class PlainContext:
    """A context without translation. `data` is the memory itself; syscall programs may change it."""

    translated = False
    form = 0
    redirect: Redirect | None = None

    def __init__(self, data: bytearray, *, writable: bool) -> None:
        self.data = data
        self.writable = writable
        self.address = 0

    def attach(self, memory: AddressSpace) -> int:
        """Put the context into the address space of a run and return what r1 holds; null without data."""
        self.address = memory.add(self.data, "context", writable=self.writable) if self.data else 0
        memory.point(context=self.address)
        return self.address

    def packet_bytes(self, offset: int, size: int) -> bytes | None:
        """Refuse legacy packet loads."""
        raise Fault("instruction", "this program type has no packet")
