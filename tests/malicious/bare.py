"""Hostile code without maps or packets, run as the conformance command does: the loader's rules do not stop it."""

from __future__ import annotations

from ebpf.errors import AsmError, ProgramFault
from ebpf.vm.conformance import run_instructions
from tests.malicious.case import Case
from tests.stage.run import Outcome
from tests.stage.stage import by_index

REFUSED = -1
"""Stands for the errno that there is none of."""


def play_bare(case: Case, engine: str) -> Outcome:
    """Run the code with the case's memory in r1 and its length in r2; the memory is what is left."""
    memory = bytearray(case.memory)
    try:
        r0 = run_instructions(by_index(case.text, ()).encode(), memory, budget=case.budget, engine=engine)
    except AsmError:
        return Outcome(refused=REFUSED, loaded=False)
    except ProgramFault as fault:
        return Outcome(fault=fault.kind, insn=fault.insn, program="main", packet=memory.hex())
    return Outcome(r0=r0, packet=memory.hex())
