"""Every public exception.

```
EbpfError
├── NotSupportedError
├── ObjectFileError(ValueError)
│   ├── ElfError
│   ├── BtfError
│   ├── PeError
│   └── LinkingError
├── AsmError(ValueError)
├── SystemCallError(OSError)
│   ├── KeyNotFoundError(KeyError)
│   ├── KeyExistsError
│   ├── MapFullError
│   └── MissingPrivilegeError(PermissionError)
├── LoadError
│   ├── VerifierError
│   ├── RelocationError
│   └── MapIncompatibleError
├── MapIndexError(IndexError)
├── ProgramFault(RuntimeError)
├── ImageError(ValueError)
├── LibraryNotFoundError(OSError)
├── ClosedError(ValueError)
└── DeadlineExceeded(TimeoutError)
```

Facts are attributes, the message is lower case and ends with the remedy. All of them pickle, and str() is the
message (never KeyError's repr).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def _restore(cls: type[EbpfError], message: str, facts: dict[str, Any]) -> EbpfError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.message = message
    for name, value in facts.items():
        # Not into __dict__: OSError.errno is a slot, which would hide the entry.
        setattr(error, name, value)
    return error


class EbpfError(Exception):
    """Root of every error that this library raises on purpose."""

    message: str

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, dict(self.__dict__))


class NotSupportedError(EbpfError):
    """What was asked for exists, but not on this runtime or kernel."""

    feature: str
    runtime: str | None
    since: str | None
    alternative: str | None

    def __init__(
        self,
        feature: str,
        *,
        runtime: str | None = None,
        since: str | None = None,
        alternative: str | None = None,
    ) -> None:
        where = f" on the {runtime} runtime" if runtime else ""
        needs = f" (needs {since})" if since else ""
        remedy = f"; {alternative}" if alternative else ""
        super().__init__(
            f"{feature} is not supported{where}{needs}{remedy}",
            feature=feature,
            runtime=runtime,
            since=since,
            alternative=alternative,
        )


class ObjectFileError(EbpfError, ValueError):
    """An object file, or a part of it, is not what its format promises.

    `path` names the file, `section` the part, `offset` the byte in that part (or in the file without a section);
    `reason` is the message without that place.
    """

    reason: str
    path: str | None
    section: str | None
    offset: int | None

    def __init__(
        self, reason: str, *, path: str | None = None, section: str | None = None, offset: int | None = None
    ) -> None:
        place = [path] if path else []
        if section is not None:
            place.append(f"section {section}")
        if offset is not None:
            place.append(f"offset {offset:#x}")
        prefix = ", ".join(place)
        message = f"{prefix}: {reason}" if prefix else reason
        super().__init__(message, reason=reason, path=path, section=section, offset=offset)


class ElfError(ObjectFileError):
    """An ELF file is damaged or not an eBPF object."""


class BtfError(ObjectFileError):
    """Type information (BTF) is damaged or can't be expressed."""


class PeError(ObjectFileError):
    """A Windows driver image is damaged or not an eBPF driver."""


class LinkingError(ObjectFileError):
    """Symbols of one or more objects can't be brought together."""


class AsmError(EbpfError, ValueError):
    """Assembly text or an instruction encoding is wrong. `line` and `column` count from 1."""

    reason: str
    line: int | None
    column: int | None

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        place = f"line {line}" if line is not None else ""
        if line is not None and column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {reason}" if place else reason, reason=reason, line=line, column=column)


class SystemCallError(EbpfError, OSError):
    """A kernel refused a call.

    `cmd` is the bpf() command or another call's name, `errno`/`errno_name` the number and its symbol as that platform
    counts, `linux_errno` the Linux equivalent, `result` efW's ebpf_result_t where there is one.
    """

    cmd: str
    errno_name: str
    platform: str
    result: int | None
    linux_errno: int

    def __init__(
        self,
        message: str,
        *,
        cmd: str,
        errno: int,
        errno_name: str,
        platform: str = "linux",
        result: int | None = None,
        linux_errno: int | None = None,
    ) -> None:
        super().__init__(
            message,
            cmd=cmd,
            errno=errno,
            errno_name=errno_name,
            platform=platform,
            result=result,
            linux_errno=errno if linux_errno is None else linux_errno,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError keeps errno in a slot of its own, outside __dict__.
        return _restore, (type(self), self.message, {**self.__dict__, "errno": self.errno})


class KeyNotFoundError(SystemCallError, KeyError):
    """The map has no such key (ENOENT of a key operation)."""


class KeyExistsError(SystemCallError):
    """The map already has the key (EEXIST with NOEXIST)."""


class MapFullError(SystemCallError):
    """The map holds max_entries elements (E2BIG)."""


class MissingPrivilegeError(SystemCallError, PermissionError):
    """The process may not do this (EPERM, EACCES).

    `capability`, `sysctl`, `lockdown` or `elevation` says what is missing.
    """

    capability: str | None = None
    sysctl: str | None = None
    lockdown: str | None = None
    elevation: str | None = None


class LoadError(EbpfError):
    """A program or map was refused at load; `__cause__` is the SystemCallError where a kernel refused it."""

    program: str | None = None
    map: str | None = None


class VerifierError(LoadError):
    """The kernel's verifier refused a program. `log` is its whole log, `summary` the lines that say why."""

    log: str = ""
    summary: str = ""
    source: str | None = None
    insn: int | None = None
    registers: Mapping[str, str] | None = None


class RelocationError(LoadError):
    """An instruction refers to something that the target does not have."""

    candidates: Sequence[str] = ()


class MapIncompatibleError(LoadError):
    """A pinned or given map differs from its spec; `differences` maps attribute → (spec, map)."""

    differences: Mapping[str, tuple[object, object]]


class MapIndexError(EbpfError, IndexError):
    """An index lies outside a sequence-like map."""


class ProgramFault(EbpfError, RuntimeError):
    """An embedded program did something forbidden.

    `kind` is the class of fault ("memory", "budget", "helper", …), `insn` the slot of the instruction in the
    lowered program, `source` its source line, `address` the faulting address, `regions` the accessible ranges.
    """

    kind: str = ""
    insn: int | None = None
    source: str | None = None
    address: int | None = None
    regions: Sequence[str] = ()


class ImageError(EbpfError, ValueError):
    """A native image is tampered with, unsigned, or foreign to this machine."""


class LibraryNotFoundError(EbpfError, OSError):
    """A shared library that a runtime needs is not installed."""

    name: str
    searched: Sequence[str]


class ClosedError(EbpfError, ValueError):
    """The object was closed."""


class DeadlineExceeded(EbpfError, TimeoutError):
    """Nothing came before the deadline."""
