"""Run a program over many packets at once, and call it as a function."""

from ebpf import CollectionSpec, Instructions, ProgramSpec, ProgramType

FIRST_BYTE = """
    r0 = 0
    r2 = *(u32 *)(r1 + 0)      # the start of the packet
    r3 = *(u32 *)(r1 + 4)      # its end: the verifier of a Linux kernel wants them compared
    r4 = r2
    r4 += 1
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 0)
out:
    exit
"""

spec = CollectionSpec()
spec.programs["first"] = ProgramSpec("first", ProgramType.XDP, Instructions.from_asm(FIRST_BYTE), license="MIT")

with spec.load() as collection:
    program = collection.programs["first"]
    result = program.run_many([bytes([n]) * 64 for n in range(10)])
    print("verdicts", list(result.retvals))
    if collection.runtime.name == "embedded":
        call = program.function()
        print("one more", call(bytearray(b"\x2a" + bytes(63))))
