"""User-space execution: loading (check, lower), engines, memory, maps, helpers and contexts of the embedded kernel.

`program.load_program` makes a program, `reference.execute` runs it in a `machine.Run`; what a program may not do
ends the run with `ebpf.errors.ProgramFault`. Nothing here knows the bpf() call: that is `ebpf.runtime.embedded`.
"""
