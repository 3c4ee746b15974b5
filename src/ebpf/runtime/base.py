"""The waist: what every runtime answers.

`Runtime.bpf(cmd, attr)` is the whole bpf() system call. What stands beside it is the short, closed list of things
that the call does not cover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.btf import Btf
    from ebpf.codegen.native import NativeImage
    from ebpf.runtime.attrs import Attr
    from ebpf.runtime.facts import Limits, MapFacts, ProgramFacts, RunResult
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.hooks import Hook
    from ebpf.runtime.joined import JoinedPackets, ManyRuns


class MapIO(Protocol):
    """Element access over raw bytes. Errors: KeyNotFoundError, KeyExistsError, MapFullError, else SystemCallError.

    Per-CPU values are all CPUs' values one after the other, each rounded up to 8 bytes. Threads may share it.
    """

    def lookup(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Return a copy of one value."""
        ...

    def lookup_and_delete(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Remove one element at once and return its value (hashes: Linux 5.14)."""
        ...

    def update(self, key: Buffer, value: Buffer, *, flags: int = 0) -> None:
        """Write one value; `flags` are those of UpdateFlag."""
        ...

    def delete(self, key: Buffer) -> None:
        """Delete one element."""
        ...

    def next_key(self, key: Buffer | None) -> bytes | None:
        """Return the key after `key`, the first one for None or a key that is gone; None after the last."""
        ...

    def lookup_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of the keys in their order, None for a missing one."""
        ...

    def update_many(self, items: Sequence[tuple[bytes, bytes]], *, flags: int = 0) -> int:
        """Write the elements in batches (Linux 5.6) and return how many; on an error those before it are written."""
        ...

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Delete the elements in batches, passing over missing ones; return how many were there."""
        ...

    def batches(self, *, delete: bool = False) -> Iterable[list[tuple[bytes, bytes]]]:
        """Walk the elements in lists of (key, value); with `delete` they are removed. May miss or repeat some."""
        ...


class Runner(Protocol):
    """Runs one program. Threads may share it."""

    def run(
        self,
        data: Buffer = b"",
        *,
        ctx: Buffer | None = None,
        repeat: int = 1,
        cpu: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        """Run over copies of a packet and a context; see `Program.run()`."""
        ...

    def run_many(self, packets: JoinedPackets, *, threads: int = 1) -> ManyRuns:
        """Run once over a copy of each packet; see `Program.run_many()`. All packets lie inside of their data."""
        ...

    def function(self) -> Callable[[Buffer], int]:
        """Return a function that runs over a buffer in place; see `Program.function()`."""
        ...


class NativeCode(Protocol):
    """The code of a native image that fits this process. Threads may share it."""

    def attach(self, program: ProgramFacts) -> None:
        """Make the image's code that of a loaded program, whose engine is "native" from then on.

        Raises ImageError where the code was made for another program, or for maps of other shapes.
        """
        ...


class RingMemory(Protocol):
    """A mapped ring. `size` is the data size in bytes (a power of two), positions are free-running byte counts.

    `data` is read-only. For ring buffers it is twice `size`, so that no record wraps; for a perf ring it is `size`
    and records may wrap. The owner closes it once; afterwards every call raises ClosedError. Threads may share it,
    but only one at a time may consume.
    """

    size: int
    data: memoryview

    def producer(self) -> int:
        """Return how many bytes were ever written."""
        ...

    def consumer(self) -> int:
        """Return how many bytes were ever given back."""
        ...

    def set_consumer(self, position: int) -> None:
        """Give everything before `position` back to the producer."""
        ...

    def close(self) -> None:
        """Unmap the ring."""
        ...


class Waiter(Protocol):
    """Waits until one of its rings has data. Threads may share it."""

    def wait(self, timeout: float | None) -> bool:
        """Block up to `timeout` seconds (None: for ever); False when the time is over, True on data or wake()."""
        ...

    def wake(self) -> None:
        """End the wait of at least one thread, or the next wait."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when wait() would not block, for event loops; None without one."""
        ...

    def close(self) -> None:
        """Give its resources back; no thread may be waiting."""
        ...


class Pins(Protocol):
    """The runtime's pins: the bpffs on Linux, a directory or memory in the embedded kernel.

    Paths are absolute text. Errors are SystemCallError. Threads may share it.
    """

    def make_directory(self, path: str) -> None:
        """Make a directory for pins, and its parents; one that exists is fine."""
        ...

    def remove(self, path: str) -> None:
        """Remove a pin or an empty directory; the object lives on while somebody else holds it."""
        ...

    def list(self, path: str) -> list[str]:
        """Return the sorted names in a directory."""
        ...

    def exists(self, path: str) -> bool:
        """Say whether there is a pin or directory of this path."""
        ...


@runtime_checkable
class Runtime(Protocol):
    """A kernel: the bpf() system call and the little that stands beside it. Threads may share it."""

    @property
    def name(self) -> str:
        """ "linux", "windows" or "embedded"."""

    @property
    def reason(self) -> str:
        """Why this runtime is in use (what `choose` said, or "asked for")."""

    @property
    def personality(self) -> str:
        """ "linux" or "windows": whose numbers, contexts and helpers it speaks."""

    @property
    def cpus(self) -> int:
        """How many possible CPUs per-CPU values have."""

    @property
    def limits(self) -> Limits | None:
        """What the embedded kernel gives out; None where the operating system decides."""

    def bpf(self, cmd: int, attr: Attr) -> int:
        """Make the call; return >= 0 or raise SystemCallError. Output members of `attr` are filled even then.

        `cmd` is a number, which a member of `Cmd` is, too: whoever implements this compares with `==`, and
        `Cmd(cmd).name` is the command's name.
        """

    def own(self, fd: int) -> Handle:
        """Take ownership of a number that bpf() returned."""

    def map_io(self, map_: MapFacts) -> MapIO:
        """Return element access to a map; it needs no closing."""

    def runner(self, program: ProgramFacts, *, engine: str = "auto", trusted: bool = False) -> Runner:
        """Return what runs a program; NotSupportedError for an `engine` that is not here."""

    @property
    def named_engine(self) -> str | None:
        """What the environment makes of "auto", whether or not there is such an engine; None where it says nothing."""

    def load_native(self, image: NativeImage) -> NativeCode:
        """Compare an image with this process before anything of it is mapped; the caller has checked who signed it.

        Raises ImageError where its code is for another processor, system or version; NotSupportedError where
        programs don't run in this process (linux), or native code can't.
        """

    def map_memory(self, map_: MapFacts, *, size: int, writable: bool = True) -> MappedMemory:
        """Map the first `size` bytes of an array's values (MMAPABLE)."""

    def open_ring(self, map_: MapFacts, *, cpu: int | None = None, size: int | None = None) -> RingMemory:
        """Open a ring buffer, or the perf ring of `cpu` with at least `size` bytes; the caller closes it."""

    def waiter(self, rings: Sequence[RingMemory], map_: MapFacts) -> Waiter:
        """Return a waiter for rings of this runtime; the caller closes it."""

    def attach(self, program: ProgramFacts, hook: Hook) -> Handle:
        """Attach to what LINK_CREATE can't describe; closing the handle detaches."""

    def kernel_btf(self, module: str | None = None) -> Btf:
        """Return the types of the kernel, or of one of its modules; NotSupportedError where it has none."""

    @property
    def pins(self) -> Pins:
        """Where objects are pinned."""

    def trace(self) -> Sequence[str]:
        """What programs printed with trace_printk since the last call (embedded); elsewhere NotSupportedError."""

    def close(self) -> None:
        """Close an embedded kernel and all that is open in it; a kernel of the machine stays."""


class MappedMemory(Protocol):
    """A map's values as memory. Threads may share it."""

    @property
    def size(self) -> int:
        """How many bytes are mapped."""
        ...

    def view(self) -> memoryview:
        """Return the whole of it; ClosedError after close()."""
        ...

    def close(self) -> None:
        """Unmap it, once the last view is gone."""
        ...
