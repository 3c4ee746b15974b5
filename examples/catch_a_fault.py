"""See what the embedded kernel says when a program reaches outside its packet."""

from ebpf import CollectionSpec, Instructions, ProgramFault, ProgramSpec, ProgramType

PROGRAM = """
    r2 = *(u32 *)(r1 + 0)      # the start of the packet
    r0 = *(u8 *)(r2 + 100)     # a byte that may lie behind its end
    exit
"""
spec = CollectionSpec()
spec.programs["wild"] = ProgramSpec("wild", ProgramType.XDP, Instructions.from_asm(PROGRAM), license="MIT")

with spec.load(runtime="embedded") as collection:
    try:
        collection.programs["wild"].run(bytes(64))
    except ProgramFault as fault:
        print(fault)
        print(*fault.regions, sep="\n")
