"""How a run ends when a program breaks a rule, and how a load ends when the kernel refuses.

Inside the vm both are small exceptions without context; the engine turns a Fault into the public
`ebpf.errors.ProgramFault`, the embedded kernel turns Rejected into an errno.
"""

from __future__ import annotations


class Fault(Exception):
    """A running program did something forbidden.

    `kind` is its class: "memory" (address out of its region, or no permission), "alignment" (atomic operation),
    "budget" (too many instructions), "stack" (too many frames), "helper" (wrong argument, failing helper),
    "call" (no such function), "instruction" (can't be executed here) or "closed" (the kernel was, meanwhile).
    `address` is the faulting address.
    """

    def __init__(self, kind: str, message: str, *, address: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.address = address


class Rejected(Exception):
    """The kernel refuses a program or a test run.

    `errno` is Linux's number, `message` the reason (the last line of the log).
    """

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno
        self.message = message


class Unwind(Exception):
    """A helper ends the whole program, whatever frame called it: `value` becomes r0."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value
