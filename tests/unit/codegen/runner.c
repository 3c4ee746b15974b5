/* Runs an image outside of Python, on any processor that an emulator has: reads the code and then cases on standard
   input, writes how each ended. A case may come with native code, which then runs instead of the interpreter. No
   library: the few system calls are made by hand. */
#include "../../../support/machine.h"

#if defined(__aarch64__)
enum { READ = 63, WRITE = 64, EXIT_GROUP = 94, MMAP = 222, MPROTECT = 226, MUNMAP = 215 };
static s64 call(s64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  register u64 x8 __asm__("x8") = (u64)number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register u64 x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return (s64)x0;
}
#else
enum { READ = 0, WRITE = 1, EXIT_GROUP = 231, MMAP = 9, MPROTECT = 10, MUNMAP = 11 };
static s64 call(s64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  register u64 r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  s64 result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#endif

enum { PLACES = 64, MOST_SLOTS = 1 << 17, MOST_BYTES = 1 << 16, CODE_SIZE = 1 << 16, MOST_CALLS = 64 };

static struct { u32 code, decode, run, calls; } image;
static struct { u32 slots, bytes, native, entry; } size;
static u32 offsets[MOST_CALLS];
static u64 calls[MOST_CALLS];
static struct region nowhere;
static struct { u64 stop, at, r0, address; } result;
static u64 slots[MOST_SLOTS];
static u8 bytes[MOST_BYTES] __attribute__((aligned(16)));
static struct op ops[MOST_SLOTS + 1];
static struct region table[PLACES];
static u64 stacks[MAX_FRAMES * STACK_SIZE / 8];
static struct machine machine;

static void clear(void *data, u64 count) {
  for (volatile u8 *at = data; count; count--) *at++ = 0;
}

static int get(void *data, u64 count) {
  for (u8 *at = data; count;) {
    s64 got = call(READ, 0, (u64)at, count, 0, 0, 0);
    if (got <= 0) return 0;
    at += got;
    count -= (u64)got;
  }
  return 1;
}

static void fail(int code) { call(EXIT_GROUP, (u64)code, 0, 0, 0, 0, 0); }

/* Nobody answers: the run ends. */
static u64 ENTRY answer(struct machine *m, u64 why) {
  m->status = why;
  return why;
}

static u8 *map(u64 count) {
  u8 *start = (u8 *)call(MMAP, 0, count, 3, 0x22, ~0ull, 0);
  if (!get(start, count) || call(MPROTECT, (u64)start, count, 5, 0, 0, 0)) fail(3);
  return start;
}

static void prepare(const struct code *code) {
  clear(&machine, sizeof machine);
  clear(table, sizeof table);
  clear(stacks, sizeof stacks);
  u32 room = size.bytes;
  if (room)
    table[1] = (struct region){.first = 1ull << 32, .data = bytes, .read = {room, room - 1, room - 3, room - 7},
                               .write = {room, room - 1, room - 3, room - 7}};
  machine.code = code;
  machine.table = table;
  machine.mask = PLACES - 1;
  machine.next = room ? 2 : 1;
  machine.live = room ? 1 : 0;
  machine.stacks = (u8 *)stacks;
  machine.patience = 1 << 23;
  machine.fuel = 1 << 20;
  machine.action = ENTER;
  machine.context = machine.packet = &nowhere;
  machine.host = answer;
  machine.calls = calls;
  machine.r[1] = room ? 1ull << 32 : 0;
  machine.r[2] = room;
}

__attribute__((used)) void begin(void) {
  if (!get(&image, sizeof image) || image.code > CODE_SIZE || image.calls > MOST_CALLS) fail(2);
  if (!get(offsets, 4 * (u64)image.calls)) fail(2);
  u8 *start = map(image.code);
  for (u32 n = 0; n < image.calls; n++) calls[n] = (u64)start + offsets[n];
  u64 ENTRY (*decode)(const void *, struct op *, u64) = (void *)(start + image.decode);
  u64 ENTRY (*run)(struct machine *) = (void *)(start + image.run);
  while (get(&size, sizeof size)) {
    if (size.slots > MOST_SLOTS || size.bytes > MOST_BYTES - 8) fail(4);
    if (!get(slots, 8 * (u64)size.slots) || !get(bytes, size.bytes)) fail(5);
    decode(slots, ops, size.slots);
    u8 *native = size.native ? map(size.native) : 0;
    struct code code = {ops, size.slots, 0, native ? (void *)(native + size.entry) : run};
    prepare(&code);
    result.stop = code.entry(&machine);
    if (result.stop == STOP_COMPILED) {
      machine.action = RESUME;
      result.stop = run(&machine);
    }
    if (native) call(MUNMAP, (u64)native, size.native, 0, 0, 0, 0);
    result.at = machine.at;
    result.r0 = machine.r[0];
    result.address = machine.address;
    call(WRITE, 1, (u64)&result, sizeof result, 0, 0, 0);
  }
  fail(0);
}

#if defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n bl begin\n");
#else
__asm__(".globl _start\n_start: xor %ebp, %ebp\n and $-16, %rsp\n call begin\n");
#endif
