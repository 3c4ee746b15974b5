"""Assemble a program, load it, run it on a packet."""

from ebpf import CollectionSpec, Instructions, ProgramSpec, ProgramType

spec = CollectionSpec()
spec.programs["tiny"] = ProgramSpec("tiny", ProgramType.XDP, Instructions.from_asm("r0 = 2; exit"), license="MIT")

with spec.load() as collection:
    result = collection.programs["tiny"].run(bytes(64))
    print("verdict", result.retval, "on", collection.runtime.name)
