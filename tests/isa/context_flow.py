"""Programs that pass the context around: which of their accesses are accesses to the context."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebpf.abi.linux import E2BIG, EACCES, EINVAL
from ebpf.abi.types import ProgramType

XDP, TC, FILTER = ProgramType.XDP, ProgramType.SCHED_CLS, ProgramType.SOCKET_FILTER


@dataclass(frozen=True, slots=True)
class Passing:
    """A program, and which of its slots become what when it is lowered; or the errno and reason of its refusal.

    `linux` is the kernel's errno where it differs or where a reason exists that is not ours (None: not compared,
    because the kernel wants type information).
    """

    name: str
    type: ProgramType
    text: str
    becomes: dict[int, str] = field(default_factory=dict)
    errno: int = 0
    reason: str = ""
    linux: int | None = -1

    @property
    def kernel_errno(self) -> int | None:
        """What the kernel answers; None if it is not asked."""
        return self.errno if self.linux == -1 else self.linux

    def __str__(self) -> str:
        return self.name


RETURN = "r0 = 0\nexit\n"

CASES: list[Passing] = [
    Passing("scalar", TC, "r0 = *(u32 *)(r1 + 8)\nexit", {0: "r0 = *(u32 *)(r1 + 8)"}),
    Passing("narrow", TC, "r0 = *(u8 *)(r1 + 9)\nexit", {0: "r0 = *(u8 *)(r1 + 9)"}),
    Passing("signed", TC, "r0 = *(s16 *)(r1 + 8)\nexit", {0: "r0 = *(s16 *)(r1 + 8)"}),
    Passing("pointer", XDP, "r2 = *(u32 *)(r1 + 0)\n" + RETURN, {0: "r2 = *(u64 *)(r1 + 24)"}),
    Passing("end", TC, "r2 = *(u32 *)(r1 + 80)\n" + RETURN, {0: "r2 = *(u64 *)(r1 + 200)"}),
    Passing("into-itself", XDP, "r1 = *(u32 *)(r1 + 4)\n" + RETURN, {0: "r1 = *(u64 *)(r1 + 32)"}),
    Passing("store", TC, "*(u32 *)(r1 + 8) = 5\n" + RETURN, {0: "*(u32 *)(r1 + 8) = 5"}),
    # tc_index and queue_mapping have 16 bits in the kernel, and 0xffff is no queue
    Passing("store-narrow-field", TC, "r2 = 7\n*(u32 *)(r1 + 44) = r2\n" + RETURN, {1: "*(u16 *)(r1 + 44) = r2"}),
    Passing("store-queue", TC, "r2 = 7\n*(u32 *)(r1 + 12) = r2\n" + RETURN,
            {1: "if r2 >= 65535 goto +1", 2: "*(u16 *)(r1 + 12) = r2", 3: "r0 = 0"}),
    Passing("store-constant-queue", TC, "*(u32 *)(r1 + 12) = 65534\n*(u32 *)(r1 + 12) = 65535\n" + RETURN,
            {0: "*(u16 *)(r1 + 12) = 65534", 1: "goto +0"}),
    Passing("cb", FILTER, "*(u64 *)(r1 + 48) = 5\n*(u8 *)(r1 + 57) = 5\n" + RETURN,
            {0: "*(u64 *)(r1 + 48) = 5", 1: "*(u8 *)(r1 + 57) = 5"}),
    # Where the pointer goes.
    Passing("moved", XDP, "r6 = r1\nr2 = *(u32 *)(r6 + 0)\n" + RETURN, {1: "r2 = *(u64 *)(r6 + 24)"}),
    Passing("added-zero", XDP, "r1 += 0\nr2 = *(u32 *)(r1 + 0)\n" + RETURN, {1: "r2 = *(u64 *)(r1 + 24)"}),
    Passing("spilled", XDP, "*(u64 *)(r10 - 8) = r1\nr3 = *(u64 *)(r10 - 8)\nr2 = *(u32 *)(r3 + 0)\n" + RETURN,
            {1: "r3 = *(u64 *)(r10 - 8)", 2: "r2 = *(u64 *)(r3 + 24)"}),
    Passing("spilled-through-a-copy", XDP,
            "r4 = r10\nr4 += -16\n*(u64 *)(r4 + 8) = r1\nr3 = *(u64 *)(r10 - 8)\nr2 = *(u32 *)(r3 + 0)\n" + RETURN,
            {4: "r2 = *(u64 *)(r3 + 24)"}),
    Passing("overwritten", XDP, "r1 = r10\n*(u64 *)(r1 - 8) = 3\nr0 = *(u32 *)(r1 - 8)\nexit",
            {2: "r0 = *(u32 *)(r1 - 8)"}),
    Passing("saved-over-a-call", XDP, "r6 = r1\ncall bpf_get_prandom_u32\nr2 = *(u32 *)(r6 + 0)\n" + RETURN,
            {2: "r2 = *(u64 *)(r6 + 24)"}),
    Passing("both-branches", XDP,
            "r0 = *(u32 *)(r1 + 12)\nif r0 == 0 goto other\nr6 = r1\ngoto join\nother:\nr6 = r1\njoin:\n"
            "r2 = *(u32 *)(r6 + 0)\n" + RETURN, {5: "r2 = *(u64 *)(r6 + 24)"}),
    Passing("in-a-loop", XDP,
            "r6 = r1\nr7 = 3\nagain:\nr2 = *(u32 *)(r6 + 0)\nr7 += -1\nif r7 != 0 goto again\n" + RETURN,
            {2: "r2 = *(u64 *)(r6 + 24)"}),
    # Functions.
    Passing("argument", XDP, "call f\nexit\nf:\nr2 = *(u32 *)(r1 + 0)\n" + RETURN, {2: "r2 = *(u64 *)(r1 + 24)"}),
    Passing("fifth-argument", XDP, "r5 = r1\ncall f\nexit\nf:\nr2 = *(u32 *)(r5 + 0)\n" + RETURN,
            {3: "r2 = *(u64 *)(r5 + 24)"}),
    Passing("argument-of-argument", XDP,
            "call f\nexit\nf:\nr2 = r1\ncall g\nexit\ng:\nr3 = *(u32 *)(r2 + 4)\n" + RETURN,
            {5: "r3 = *(u64 *)(r2 + 32)"}),
    Passing("saved-by-callee", XDP, "r6 = r1\ncall f\nr2 = *(u32 *)(r6 + 0)\n" + RETURN + "f:\nr6 = 0\nr0 = 0\nexit",
            {2: "r2 = *(u64 *)(r6 + 24)"}),
    Passing("in-a-structure-on-the-stack", XDP,
            "*(u64 *)(r10 - 16) = r1\nr1 = r10\nr1 += -24\ncall f\nexit\n"
            "f:\nr2 = *(u64 *)(r1 + 8)\nr0 = *(u32 *)(r2 + 12)\nexit",
            {5: "r2 = *(u64 *)(r1 + 8)", 6: "r0 = *(u32 *)(r2 + 12)"}),
    Passing("given-back-through-the-stack", XDP,
            "r2 = r1\nr1 = r10\nr1 += -8\ncall f\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r3 + 0)\nr0 = 0\nexit\n"
            "f:\n*(u64 *)(r1 + 0) = r2\nr0 = 0\nexit", {5: "r0 = *(u64 *)(r3 + 24)"}),
    Passing("called-twice", XDP, "r6 = r1\ncall f\nr1 = r6\ncall f\nexit\nf:\nr2 = *(u32 *)(r1 + 0)\n" + RETURN,
            {5: "r2 = *(u64 *)(r1 + 24)"}),
    Passing("callback", XDP,
            "*(u64 *)(r10 - 8) = r1\nr1 = 3\nr2 = func[each] ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\n"
            "r0 = 0\nexit\neach:\nr3 = *(u64 *)(r2 + 0)\nr4 = *(u32 *)(r3 + 0)\n" + RETURN,
            {11: "r4 = *(u64 *)(r3 + 24)"}, linux=None),
    Passing("callback-argument", XDP,
            "r3 = r1\nr1 = 3\nr2 = func[each] ll\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n"
            "each:\nr4 = *(u32 *)(r2 + 0)\n" + RETURN, {8: "r4 = *(u64 *)(r2 + 24)"}, linux=None),
    # Refusals.
    Passing("read-only", XDP, "*(u32 *)(r1 + 12) = 5\n" + RETURN, errno=EACCES,
            reason="invalid bpf_context access off=12 size=4"),
    Passing("outside", XDP, "r0 = *(u32 *)(r1 + 24)\nexit", errno=EACCES,
            reason="invalid bpf_context access off=24 size=4"),
    Passing("narrow-pointer", XDP, "r0 = *(u16 *)(r1 + 0)\nexit", errno=EACCES,
            reason="invalid bpf_context access off=0 size=2"),
    Passing("hidden-from-this-type", FILTER, "r0 = *(u32 *)(r1 + 76)\nexit", errno=EACCES,
            reason="invalid bpf_context access off=76 size=4"),
    Passing("across-fields", TC, "r0 = *(u64 *)(r1 + 0)\nexit", errno=EACCES,
            reason="invalid bpf_context access off=0 size=8"),
    Passing("atomic", TC, "r2 = 1\nlock *(u32 *)(r1 + 8) += r2\n" + RETURN, errno=EACCES,
            reason="BPF_ATOMIC stores into R1 ctx is not allowed"),
    Passing("modified", TC, "r1 += 8\nr0 = *(u32 *)(r1 + 0)\nexit", errno=EACCES,
            reason="dereference of modified ctx ptr R1 off=0 disallowed"),
    Passing("two-kinds-of-pointer", TC,
            "r0 = *(u32 *)(r1 + 8)\n*(u64 *)(r10 - 8) = 0\nif r0 == 0 goto join\nr1 = r10\nr1 += -8\njoin:\n"
            "r0 = *(u32 *)(r1 + 0)\nexit", errno=EACCES,
            reason="same insn cannot be used with different pointers", linux=EINVAL),
    Passing("two-callers", TC,
            "r6 = r1\n*(u64 *)(r10 - 8) = 0\ncall f\nr1 = r10\nr1 += -8\ncall f\nexit\nf:\nr0 = *(u32 *)(r1 + 0)\nexit",
            errno=EACCES, reason="same insn cannot be used with different pointers", linux=EINVAL),
    Passing("recursion-by-callback", XDP,
            "r1 = 1\nr2 = func[each] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n"
            "each:\nr1 = 1\nr2 = func[each] ll\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit",
            errno=E2BIG, reason="too deep", linux=None),
]  # fmt: skip
