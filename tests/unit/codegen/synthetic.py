"""Modules like the ones that the JIT writes: registers in allocas, every access behind one compare."""

from __future__ import annotations

REGISTERS = range(10)
ALU = ("add", "sub", "mul", "xor", "and", "or")
INSTRUCTIONS = {
    "compute": """
      %w{n} = {alu} i64 %a{n}, %b{n}
      %v{n} = add i64 %w{n}, {n}
      store i64 %v{n}, ptr %r{dst}""",
    "load": """
      %o{n} = add i64 %b{n}, {offset}
      %c{n} = icmp ult i64 %o{n}, %size
      br i1 %c{n}, label %L{n}, label %fault
    L{n}:
      %p{n} = getelementptr i8, ptr %data, i64 %o{n}
      %v{n} = load i64, ptr %p{n}, align 1
      store i64 %v{n}, ptr %r{dst}""",
    "store": """
      %o{n} = add i64 %b{n}, {offset}
      %c{n} = icmp ult i64 %o{n}, %size
      br i1 %c{n}, label %L{n}, label %fault
    L{n}:
      %p{n} = getelementptr i8, ptr %data, i64 %o{n}
      store i64 %a{n}, ptr %p{n}, align 1""",
    "jump": """
      %c{n} = icmp ugt i64 %a{n}, %b{n}
      br i1 %c{n}, label %T{n}, label %J{n}
    T{n}:
      store i64 {n}, ptr %r{dst}
      br label %J{n}
    J{n}:""",
}
STRAIGHT = ("compute", "load", "compute", "store", "compute")
BRANCHY = ("compute", "load", "jump", "store", "jump")


def module(count: int, kinds: tuple[str, ...] = STRAIGHT) -> str:
    """Return a function @f(data, size) of so many instructions. It returns register 0, or -1 where an access faults."""
    lines = ["define i64 @f(ptr %data, i64 %size) {"]
    lines += [f"  %r{n} = alloca i64\n  store i64 %size, ptr %r{n}" for n in REGISTERS]
    for n in range(count):
        # Never the same register twice: that is not what is typical of programs.
        dst, src = n * 7 % len(REGISTERS), (n * 3 + 1) % len(REGISTERS)
        lines.append(f"  %a{n} = load i64, ptr %r{dst}\n  %b{n} = load i64, ptr %r{src}")
        body = INSTRUCTIONS[kinds[n % len(kinds)]]
        lines.append(body.format(n=n, dst=dst, alu=ALU[n * 5 % len(ALU)], offset=n % 64).strip("\n"))
    lines += ["  %result = load i64, ptr %r0", "  ret i64 %result", "fault:", "  ret i64 -1", "}", ""]
    return "\n".join(lines)
