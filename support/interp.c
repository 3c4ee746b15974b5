/* The interpreter: runs decoded code until it needs the host (enum stop). Checks every access; counts every
   instruction. Freestanding: no library, no globals, no thread-local state, small frames. */
#include "frames.h"
#include "memory.h"
#include "operations.h"

#define unlikely(x) __builtin_expect(!!(x), 0)
#define SIGNED(x) _Generic((x), u32 : (s32)(x), u64 : (s64)(x))
#define INDEX(bytes) ((bytes) == 1 ? 0 : (bytes) == 2 ? 1 : (bytes) == 4 ? 2 : 3)

/* Open a frame that returns to `back`; 0, or why not. */
static u64 enter(struct machine *m, u64 back) {
  if (m->depth == MAX_FRAMES) return STOP_FRAMES;
  if (2 * (m->live + 1) > m->mask + 1 || m->next > 0xfffffffe - m->mask) return STOP_GROW;
  struct frame *frame = m->frames + m->depth;
  frame->back = back;
  frame->code = m->code;
  for (int i = 0; i < 5; i++) frame->saved[i] = m->r[6 + i];
  m->r[FRAME_POINTER] = open_stack(m, m->depth, STACK_SIZE);
  m->depth++;
  return 0;
}

/* Close the newest frame and return where it comes back to. */
static u64 leave(struct machine *m) {
  if (m->r[FRAME_POINTER]) close_stack(m, m->r[FRAME_POINTER]); /* compiled code opens stacks that it uses */
  const struct frame *frame = m->frames + --m->depth;
  m->code = frame->code;
  for (int i = 0; i < 5; i++) m->r[6 + i] = frame->saved[i];
  return frame->back;
}

/* Out of line, so that it costs the accesses to regions nothing. Notes what can't be found. */
static __attribute__((noinline)) u8 *locate(struct machine *m, u64 address, u64 size, u64 access) {
  u8 *host = value_bytes(m, address, size, access);
  if (!host) {
    m->address = address;
    m->size = size;
  }
  return host;
}

#define DST r[op->dst]
#define SRC r[op->src]
#define STOP(why) do { stop = (why); goto out; } while (0)
#define STOP_AND_REPEAT(why) do { fuel++; STOP(why); } while (0)
/* Every operation has a jump of its own to the next: a processor predicts each by itself. The assembly, which is empty but
   different everywhere, keeps clang from making one of them. */
#define DISPATCH do {                                      \
    if (unlikely(fuel-- == 0)) goto out_of_fuel;           \
    const u8 *label = (const u8 *)&&start + op->label;     \
    __asm__ volatile("" : "+r"(label) : "i"(__COUNTER__)); \
    goto *label;                                           \
  } while (0)
#define NEXT do { op++; DISPATCH; } while (0)
#define GO(distance) do { op += (distance); DISPATCH; } while (0)

/* Find the host's memory for an access, or stop. */
#define FIND(wanted, bytes, permission, needed, why)                   \
  u64 address = (wanted);                                              \
  const struct region *region = table + (address >> 32 & mask);        \
  u64 inside = address - region->first;                                \
  u8 *host = region->data + inside;                                    \
  if (unlikely(inside >= region->permission[INDEX(bytes)])) {          \
    host = locate(m, address, bytes, needed);                          \
    if (unlikely(!host)) STOP(why);                                    \
  }

/* The same for an atomic access. The host's own memory may be less aligned than the program's addresses. */
#define FIND_ATOMIC(wanted, type, reads, writes)                                              \
  u64 address = (wanted);                                                                     \
  const struct region *region = table + (address >> 32 & mask);                               \
  u64 inside = address - region->first;                                                       \
  type *host = (type *)(region->data + inside);                                               \
  if (unlikely((reads && inside >= region->read[INDEX(sizeof(type))]) ||                      \
               (writes && inside >= region->write[INDEX(sizeof(type))])))                     \
    host = (type *)locate(m, address, sizeof(type), reads | writes << 1);                \
  if (unlikely(!host || ((address | (u64)host) & (sizeof(type) - 1)))) STOP(STOP_ATOMIC)

/* Without a machine: where the labels of the operations are, for `ebpf_decode`. Aligned, so that what else is in the image
   does not change its speed. */
__attribute__((aligned(64))) ENTRY u64 ebpf_run(struct machine *m) {
#define X4(name) (s16)((const u8 *)&&do_##name - (const u8 *)&&start),
  static const s16 labels[OPERATIONS] = {ALL_OPERATIONS};
#undef X4
  if (unlikely(!m)) return (u64)labels;
  u64 *r = m->r;
  const struct region *table = m->table;
  u64 mask = m->mask, fuel = m->fuel, stop;
  const struct op *op = m->code->ops + m->at;

  if (m->action == ENTER || m->action == ENTER_SEEN) {
    /* The host has entered the epoch of this run, which has to be seen before anything is looked up. */
    if (m->action == ENTER) __atomic_thread_fence(__ATOMIC_SEQ_CST);
    stop = enter(m, NO_CALLER);
    if (stop) return stop;
  }
  if (m->action == LEAVE) goto return_from_function;
start:
  DISPATCH;

#define DO(name, value)                                                                              \
  do_##name##64K: { u64 a = DST, b = (u64)op->imm; (void)a, (void)b; DST = (u64)(value); NEXT; }     \
  do_##name##64X: { u64 a = DST, b = SRC; (void)a, (void)b; DST = (u64)(value); NEXT; }              \
  do_##name##32K: { u32 a = (u32)DST, b = (u32)op->imm; (void)a, (void)b; DST = (u32)(value); NEXT; } \
  do_##name##32X: { u32 a = (u32)DST, b = (u32)SRC; (void)a, (void)b; DST = (u32)(value); NEXT; }
  ARITHMETIC(DO)
#undef DO

  do_EXTEND8_64: DST = (u64)(s64)(s8)SRC; NEXT;
  do_EXTEND16_64: DST = (u64)(s64)(s16)SRC; NEXT;
  do_EXTEND32_64: DST = (u64)(s64)(s32)SRC; NEXT;
  do_EXTEND8_32: DST = (u32)(s32)(s8)SRC; NEXT;
  do_EXTEND16_32: DST = (u32)(s32)(s16)SRC; NEXT;
  do_SWAP16: DST = __builtin_bswap16((u16)DST); NEXT;
  do_SWAP32: DST = __builtin_bswap32((u32)DST); NEXT;
  do_SWAP64: DST = __builtin_bswap64(DST); NEXT;
  do_LOW16: DST = (u16)DST; NEXT;
  do_LOW32: DST = (u32)DST; NEXT;
  do_LOW64: NEXT;

#define DO(name, condition)                                                                               \
  do_##name##64K: { u64 a = DST, b = (u64)op->imm; if (condition) GO(op->off); NEXT; }                    \
  do_##name##64X: { u64 a = DST, b = SRC; if (condition) GO(op->off); NEXT; }                             \
  do_##name##32K: { u32 a = (u32)DST, b = (u32)op->imm; if (condition) GO(op->off); NEXT; }               \
  do_##name##32X: { u32 a = (u32)DST, b = (u32)SRC; if (condition) GO(op->off); NEXT; }
  CONDITIONS(DO)
#undef DO

  do_GOTO: GO(op->off);
  do_MAY_GOTO:
    if (--m->patience) NEXT;
    m->patience = 1; /* from now on every one jumps */
    GO(op->off);

#define DO(name, type)                                                        \
  do_##name: {                                                                \
    FIND(SRC + (u64)(s64)op->off, sizeof(type), read, READABLE, STOP_READ);             \
    type value;                                                               \
    __builtin_memcpy(&value, host, sizeof value);                             \
    DST = (u64)(s64)value;                                                    \
    NEXT;                                                                     \
  }
  LOADS(DO)
#undef DO

#define STORE(type, number)                                                   \
  {                                                                           \
    FIND(DST + (u64)(s64)op->off, sizeof(type), write, WRITABLE, STOP_WRITE);           \
    type value = (type)(number);                                              \
    __builtin_memcpy(host, &value, sizeof value);                             \
    NEXT;                                                                     \
  }
#define DO(name, type)                          \
  do_##name##K: STORE(type, op->imm)            \
  do_##name##X: STORE(type, SRC)
  STORES(DO)
#undef DO

#define CHANGE(type, call, keep)                                              \
  {                                                                           \
    FIND_ATOMIC(DST + (u64)(s64)op->off, type, 1, 1);                         \
    type old = call(host, (type)SRC, __ATOMIC_SEQ_CST);                       \
    if (keep) SRC = old;                                                      \
    NEXT;                                                                     \
  }
#define DO(name, call)                          \
  do_##name##4: CHANGE(u32, call, 0)            \
  do_##name##8: CHANGE(u64, call, 0)            \
  do_F##name##4: CHANGE(u32, call, 1)           \
  do_F##name##8: CHANGE(u64, call, 1)
  CHANGES(DO)
#undef DO
  do_XCHG4: CHANGE(u32, __atomic_exchange_n, 1)
  do_XCHG8: CHANGE(u64, __atomic_exchange_n, 1)

#define COMPARE(type)                                                                             \
  {                                                                                               \
    FIND_ATOMIC(DST + (u64)(s64)op->off, type, 1, 1);                                             \
    type old = (type)r[0];                                                                        \
    __atomic_compare_exchange_n(host, &old, (type)SRC, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
    r[0] = old;                                                                                   \
    NEXT;                                                                                         \
  }
  do_CMPXCHG4: COMPARE(u32)
  do_CMPXCHG8: COMPARE(u64)

#define DO(size, type)                                                                                      \
  do_LOAD_ACQ##size: {                                                                                      \
    FIND_ATOMIC(SRC + (u64)(s64)op->off, type, 1, 0);                                                       \
    DST = __atomic_load_n(host, __ATOMIC_ACQUIRE);                                                          \
    NEXT;                                                                                                   \
  }                                                                                                         \
  do_STORE_REL##size: {                                                                                     \
    FIND_ATOMIC(DST + (u64)(s64)op->off, type, 0, 1);                                                       \
    __atomic_store_n(host, (type)SRC, __ATOMIC_RELEASE);                                                    \
    NEXT;                                                                                                   \
  }
  DO(1, u8) DO(2, u16) DO(4, u32) DO(8, u64)
#undef DO

  do_CONSTANT: DST = (u64)op->imm; GO(2);
  do_MAP: {
    u64 known = m->code->maps[(u32)op->imm].object;
    if (unlikely(!known)) { m->size = (u32)op->imm; STOP_AND_REPEAT(STOP_MAP); }
    DST = known;
    GO(2);
  }
  do_MAP_VALUE: {
    u64 known = m->code->maps[(u32)op->imm].first_value;
    if (unlikely(!known)) { m->size = (u32)op->imm; STOP_AND_REPEAT(STOP_MAP_VALUE); }
    DST = known + ((u64)op->imm >> 32);
    GO(2);
  }

  do_CALL: {
    const struct op *ops = m->code->ops;
    stop = enter(m, (u64)(op - ops) + 1);
    if (unlikely(stop)) STOP_AND_REPEAT(stop);
    GO(op->off);
  }
  do_EXIT:
  return_from_function: {
    u64 back = leave(m);
    if (back == NO_CALLER) { op = m->code->ops; STOP(STOP_EXIT); }
    op = m->code->ops + back;
    DISPATCH;
  }
  do_HELPER_REGISTER: m->size = r[op->imm]; goto helper;
  do_HELPER: m->size = (u64)op->imm;
  helper: {
    u64 result = ebpf_helper(m, m->size);
    if (unlikely(m->status)) { m->status = 0; STOP(STOP_HELPER); }
    r[0] = result;
    NEXT;
  }
  do_TAIL_CALL: STOP(STOP_TAIL);
  do_STEP: STOP(STOP_STEP);

out_of_fuel:
  fuel = 0;
  stop = STOP_FUEL;
out:
  m->fuel = fuel;
  m->at = (u64)(op - m->code->ops);
  return stop;
}
