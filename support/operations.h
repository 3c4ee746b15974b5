/* The operations of the interpreter: opcodes of RFC 9669 taken apart as far as speed asks for it. */
#pragma once

/* Arithmetic in the order of the upper four bits of its opcode; 64 and 32 bits wide, with a constant (K) or a
   register (X). SDIV and SMOD are DIV and MOD with offset 1. */
#define ARITHMETIC(X)                                                                                             \
  X(ADD, a + b) X(SUB, a - b) X(MUL, a * b) X(DIV, b ? a / b : 0) X(OR, a | b) X(AND, a & b)                         \
  X(LSH, a << (b & (8 * sizeof a - 1))) X(RSH, a >> (b & (8 * sizeof a - 1))) X(NEG, 0 - a) X(MOD, b ? a % b : a)    \
  X(XOR, a ^ b) X(MOV, b) X(ARSH, SIGNED(a) >> (b & (8 * sizeof a - 1)))                                             \
  X(SDIV, b == 0 ? 0 : SIGNED(b) == -1 ? 0 - a : (u64)(SIGNED(a) / SIGNED(b)))                                       \
  X(SMOD, b == 0 ? a : SIGNED(b) == -1 ? 0 : (u64)(SIGNED(a) % SIGNED(b)))

/* Conditions in the order of the upper four bits of their opcode (1 to 7, 10 to 13). */
#define CONDITIONS(X)                                                                                             \
  X(JEQ, a == b) X(JGT, a > b) X(JGE, a >= b) X(JSET, a & b) X(JNE, a != b) X(JSGT, SIGNED(a) > SIGNED(b))           \
  X(JSGE, SIGNED(a) >= SIGNED(b)) X(JLT, a < b) X(JLE, a <= b) X(JSLT, SIGNED(a) < SIGNED(b))                        \
  X(JSLE, SIGNED(a) <= SIGNED(b))

/* Loads, by size in bytes; the sizes are in the order of `_size_index` in decode.c. */
#define LOADS(X) X(LOAD4, u32) X(LOAD2, u16) X(LOAD1, u8) X(LOAD8, u64) X(LOADS4, s32) X(LOADS2, s16) X(LOADS1, s8)
#define STORES(X) X(STORE4, u32) X(STORE2, u16) X(STORE1, u8) X(STORE8, u64)

/* Atomic read-modify-write, 32 and 64 bits wide; with F the old value goes to the source register. */
#define CHANGES(X)                                                                                                \
  X(ATOMIC_ADD, __atomic_fetch_add) X(ATOMIC_OR, __atomic_fetch_or) X(ATOMIC_AND, __atomic_fetch_and)                \
  X(ATOMIC_XOR, __atomic_fetch_xor)

/* Everything else. STEP is what the host does. */
#define OTHERS(X)                                                                                                 \
  X(STEP) X(GOTO) X(MAY_GOTO) X(CALL) X(HELPER) X(HELPER_REGISTER) X(TAIL_CALL) X(EXIT) X(CONSTANT) X(MAP)           \
  X(MAP_VALUE) X(EXTEND8_64) X(EXTEND16_64) X(EXTEND32_64) X(EXTEND8_32) X(EXTEND16_32) X(SWAP16) X(SWAP32)          \
  X(SWAP64) X(LOW16) X(LOW32) X(LOW64) X(XCHG4) X(XCHG8) X(CMPXCHG4) X(CMPXCHG8) X(LOAD_ACQ4) X(LOAD_ACQ2)           \
  X(LOAD_ACQ1) X(LOAD_ACQ8) X(STORE_REL4) X(STORE_REL2) X(STORE_REL1) X(STORE_REL8)

#define FOUR(name, value) X4(name##64K) X4(name##64X) X4(name##32K) X4(name##32X)
#define KX(name, type) X4(name##K) X4(name##X)
#define ONE(name, type) X4(name)
#define WIDTHS(name, call) X4(name##4) X4(name##8) X4(F##name##4) X4(F##name##8)
#define ALL_OPERATIONS OTHERS(X4) ARITHMETIC(FOUR) CONDITIONS(FOUR) LOADS(ONE) STORES(KX) CHANGES(WIDTHS)

#define X4(name) OP_##name,
enum operation { ALL_OPERATIONS OPERATIONS };
#undef X4
