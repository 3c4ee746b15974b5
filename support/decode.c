/* From 8-byte slots to operations. What it does not know becomes STEP, which leaves the slot to the host. */
#include "machine.h"
#include "operations.h"

struct slot {
  u8 opcode;
  u8 registers;
  s16 off;
  s32 imm;
};

enum { CLASS_LD, CLASS_LDX, CLASS_ST, CLASS_STX, CLASS_ALU, CLASS_JMP, CLASS_JMP32, CLASS_ALU64 };
enum { MODE_MEM = 0x60, MODE_MEMSX = 0x80, MODE_ATOMIC = 0xc0, MODE = 0xe0, SOURCE_X = 8 };
enum { NEG = 8, MOD = 9, DIV = 3, MOV = 11, END = 13, JA = 0, CALL = 8, EXIT = 9, MAY_GOTO = 14 };
enum { LDIMM64 = 0x18, PSEUDO_CALL = 1, PSEUDO_MAP_IDX = 5, PSEUDO_MAP_IDX_VALUE = 6, HELPER_TAIL_CALL = 12 };
enum { FETCH = 1, XCHG = 0xe1, CMPXCHG = 0xf1, LOAD_ACQ = 0x100, STORE_REL = 0x110 };

/* The four operations of an arithmetic or a condition are 64K, 64X, 32K, 32X. */
static u32 variant(u8 opcode, u8 wide_class) { return ((opcode & 7) == wide_class ? 0 : 2) + (opcode & SOURCE_X ? 1 : 0); }

static u32 size_index(u8 opcode) { return opcode >> 3 & 3; }

static u32 byte_order(const struct slot *slot) {
  int keeps = slot->opcode == 0xd4;
  switch (slot->imm) {
  case 16: return keeps ? OP_LOW16 : OP_SWAP16;
  case 32: return keeps ? OP_LOW32 : OP_SWAP32;
  case 64: return keeps ? OP_LOW64 : OP_SWAP64;
  }
  return OP_STEP;
}

static u32 extension(const struct slot *slot, int wide) {
  switch (slot->off) {
  case 8: return wide ? OP_EXTEND8_64 : OP_EXTEND8_32;
  case 16: return wide ? OP_EXTEND16_64 : OP_EXTEND16_32;
  case 32: return wide ? OP_EXTEND32_64 : OP_STEP;
  }
  return OP_STEP;
}

RARE static u32 arithmetic(const struct slot *slot) {
  u32 kind = slot->opcode >> 4;
  if (kind == END) return byte_order(slot);
  if (kind > END) return OP_STEP;
  if (kind == MOV && slot->opcode & SOURCE_X && slot->off) return extension(slot, (slot->opcode & 7) == CLASS_ALU64);
  if (slot->off == 1 && kind == DIV) return OP_SDIV64K + variant(slot->opcode, CLASS_ALU64);
  if (slot->off == 1 && kind == MOD) return OP_SMOD64K + variant(slot->opcode, CLASS_ALU64);
  return OP_ADD64K + 4 * kind + variant(slot->opcode, CLASS_ALU64);
}

RARE static u32 jump(const struct slot *slot) {
  u32 kind = slot->opcode >> 4;
  int wide = (slot->opcode & 7) == CLASS_JMP;
  if (kind == JA) return OP_GOTO;
  if (kind >= 1 && kind <= 7) return OP_JEQ64K + 4 * (kind - 1) + variant(slot->opcode, CLASS_JMP);
  if (kind >= 10 && kind <= 13) return OP_JEQ64K + 4 * (kind - 3) + variant(slot->opcode, CLASS_JMP);
  if (!wide) return OP_STEP;
  if (kind == EXIT) return OP_EXIT;
  if (kind == MAY_GOTO) return OP_MAY_GOTO;
  if (kind != CALL) return OP_STEP;
  if (slot->opcode & SOURCE_X) return OP_HELPER_REGISTER;
  if ((slot->registers >> 4) == PSEUDO_CALL) return OP_CALL;
  if (slot->registers >> 4) return OP_STEP;
  return slot->imm == HELPER_TAIL_CALL ? OP_TAIL_CALL : OP_HELPER;
}

RARE static u32 atomic(const struct slot *slot) {
  u32 at = size_index(slot->opcode), wide = at == 3, fetch = slot->imm & FETCH ? 2 : 0;
  if (slot->imm == LOAD_ACQ) return OP_LOAD_ACQ4 + at;
  if (slot->imm == STORE_REL) return OP_STORE_REL4 + at;
  if (at == 1 || at == 2) return OP_STEP;
  switch (slot->imm & ~FETCH) {
  case 0x00: return OP_ATOMIC_ADD4 + fetch + wide;
  case 0x40: return OP_ATOMIC_OR4 + fetch + wide;
  case 0x50: return OP_ATOMIC_AND4 + fetch + wide;
  case 0xa0: return OP_ATOMIC_XOR4 + fetch + wide;
  case XCHG & ~FETCH: return fetch ? OP_XCHG4 + wide : OP_STEP;
  case CMPXCHG & ~FETCH: return fetch ? OP_CMPXCHG4 + wide : OP_STEP;
  }
  return OP_STEP;
}

RARE static u32 memory(const struct slot *slot) {
  u32 at = size_index(slot->opcode);
  switch (slot->opcode & 7) {
  case CLASS_LDX:
    if ((slot->opcode & MODE) == MODE_MEM) return OP_LOAD4 + at;
    return (slot->opcode & MODE) == MODE_MEMSX && at != 3 ? OP_LOADS4 + at : OP_STEP;
  case CLASS_ST: return (slot->opcode & MODE) == MODE_MEM ? OP_STORE4K + 2 * at : OP_STEP;
  case CLASS_STX:
    if ((slot->opcode & MODE) == MODE_ATOMIC) return atomic(slot);
    return (slot->opcode & MODE) == MODE_MEM ? OP_STORE4X + 2 * at : OP_STEP;
  }
  if (slot->opcode != LDIMM64) return OP_STEP;
  switch (slot->registers >> 4) {
  case PSEUDO_MAP_IDX: return OP_MAP;
  case PSEUDO_MAP_IDX_VALUE: return OP_MAP_VALUE;
  }
  return OP_CONSTANT;
}

RARE static u32 operation(const struct slot *slot) {
  switch (slot->opcode & 7) {
  case CLASS_ALU:
  case CLASS_ALU64: return arithmetic(slot);
  case CLASS_JMP:
  case CLASS_JMP32: return jump(slot);
  }
  return memory(slot);
}

RARE static s64 distance(const struct slot *slot, u32 operation) {
  if (operation == OP_CALL) return 1 + (s64)slot->imm;
  if (operation == OP_GOTO && (slot->opcode & 7) == CLASS_JMP32) return 1 + (s64)slot->imm;
  return 1 + (s64)slot->off;
}

static int jumps(u32 operation) {
  return operation == OP_CALL || operation == OP_GOTO || operation == OP_MAY_GOTO ||
         (operation >= OP_JEQ64K && operation <= OP_JSLE32X);
}

RARE static struct op decode(const struct slot *slots, u64 at, u64 count, const s16 *labels) {
  const struct slot *slot = slots + at;
  u32 which = operation(slot);
  struct op op = {0, slot->registers & 15, slot->registers >> 4, slot->off, slot->imm};
  if (op.dst >= REGISTERS || op.src >= REGISTERS) which = OP_STEP;
  if (slot->opcode == LDIMM64) {
    if (at + 1 == count) which = OP_STEP;
    else op.imm = (s64)((u64)(u32)slots[at + 1].imm << 32 | (u32)slot->imm);
  }
  if (which == OP_HELPER_REGISTER) {
    op.imm = op.dst ? op.dst : op.imm;
    if (op.imm < 0 || op.imm >= REGISTERS) which = OP_STEP;
  }
  if (jumps(which)) {
    s64 target = (s64)at + distance(slot, which);
    op.off = (s32)((target < 0 || target > (s64)count ? (s64)count : target) - (s64)at);
  }
  op.label = labels[which];
  return op;
}

/* Decode `count` slots into `count` + 1 operations; the last is a STEP, so that no way leads out of the code. */
RARE ENTRY u64 ebpf_decode(const struct slot *slots, struct op *ops, u64 count) {
  const s16 *labels = (const s16 *)ebpf_run(0);
  for (u64 at = 0; at < count; at++) ops[at] = decode(slots, at, count, labels);
  ops[count] = (struct op){.label = labels[OP_STEP]};
  return count;
}
