"""The jit engine: lowered programs as LLVM IR, compiled to native code that checks every access.

A function of the program becomes a function of LLVM. Registers live in SSA values; packet, context, stack and map
values are checked against their own region, whose bounds are in SSA values, too. Whatever compiled code can't do, or
finds forbidden, it hands to the interpreter: it stores the registers that are live and the instruction that is next,
and the interpreter goes on from there and says what was wrong. So faults are the interpreter's own.
"""
