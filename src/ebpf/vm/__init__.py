"""User-space execution: loading (check, lower), engines, memory, maps, helpers and contexts of the embedded kernel.

`program.load_program` makes a program, `reference.execute` runs it in a `machine.Run`; what a program may not do
ends the run with `ebpf.errors.ProgramFault`. Nothing here knows the bpf() call: that is `ebpf.runtime.embedded`.
"""

from __future__ import annotations

M32, M64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
"""What is left of a number in the lower half of a register, and in a register."""
