/* What the interpreter and its host share: layouts of the machine, of code and of memory regions.

   Everything hangs off one `struct machine *`. Members are 64 bits wide so that the host reads and writes them as an
   array of words; src/ebpf/vm/native.py has the same numbers, and the image carries them for comparison. */
#pragma once

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef __INT8_TYPE__ s8;
typedef __INT16_TYPE__ s16;
typedef __INT32_TYPE__ s32;
typedef __INT64_TYPE__ s64;

/* Calling convention of the entries, where it is not the compiler's own. */
#ifndef ENTRY
#define ENTRY
#endif

/* What does not run often: an image has room for 50 KB. */
#define RARE __attribute__((minsize))

enum { ABI_VERSION = 4 };
struct machine;
struct map;

enum { REGISTERS = 11, CONTEXT = 1, FRAME_POINTER = 10, STACK_SIZE = 512, MAX_FRAMES = 8 };

/* One instruction, decoded; one for each 8-byte slot, the second half of a 64-bit load included. */
struct op {
  s16 label; /* what carries it out: distance in the code of `ebpf_run` */
  u8 dst;
  u8 src;
  s32 off; /* of memory: bytes; of a jump: operations from this one to the target */
  s64 imm;
};

/* What a program's code needs to know of one of its maps. An address is 0 until the host has been asked. */
struct map_ref {
  u64 object;      /* address that stands for the map */
  u64 first_value; /* address of the only element of an array */
  u64 values;      /* address of value 0 of a map in native storage; 0 for other maps */
  struct map *map; /* its native storage; 0 for other maps */
};

/* A program in one run. `entry` is what runs it from the start of a function: `ebpf_run` or compiled code. */
struct code {
  const struct op *ops;
  u64 count;
  struct map_ref *maps;
  u64 (ENTRY *entry)(struct machine *);
};

/* A range of addresses: number << 32 | offset, `first` being the lowest that is accessible, at `data` in the host.
   An access of 1, 2, 4 or 8 bytes is allowed where address - first < room of that size: one comparison decides about
   number, start, end and permission. All zero: no region. */
struct region {
  u64 first;
  u8 *data;
  u32 read[4];
  u32 write[4];
  u64 opaque; /* not 0: helpers may not use it as memory */
  u64 unused;
};

/* A map in native storage. Its addresses do not stand in the table of regions: bit 63 is set, bits 48 to 61 are the
   place in `machine.values`. Bit 62 is set in the address that stands for the map itself. In the address of a value it
   is not; of the rest the bits from `shift` on are the number of the value, those below the offset in it. So every value
   has bounds of its own, and the addresses of two never are close. */
struct values {
  u8 *data;
  u64 stride; /* bytes from one value to the next */
  u64 size;   /* bytes of a value that are accessible */
  u64 count;  /* values that have addresses */
  u64 shift;
  u64 access; /* bit 0: readable, bit 1: writable */
  struct map *map;
  u64 unused;
};

#define VALUE_ADDRESS (1ull << 63)
#define MAP_ADDRESS (3ull << 62)
enum { VALUE_PLACE_BITS = 14, VALUE_PLACE_SHIFT = 48, READABLE = 1, WRITABLE = 2 };

struct frame {
  u64 back; /* operation to return to; NO_CALLER: the host called */
  const struct code *code;
  u64 saved[5]; /* r6 to r10 of the caller */
};

#define NO_CALLER (~0ull)

/* A ring buffer record that native code has reserved: region `number`, 0 where there is none. */
struct record {
  u64 number;
  struct map *ring;
  u64 position;
  u64 size;
};
enum { MAX_RECORDS = 4 };

/* Pseudo-random numbers that the host has drawn ahead. It draws more when all of them are taken, so that everybody takes
   the next one of the same sequence. */
enum { NUMBERS_AHEAD = 1024 };
struct random {
  u64 next;  /* how many are taken */
  u64 drawn; /* how many there have been */
  u32 numbers[NUMBERS_AHEAD];
};

/* What the program's context is. */
enum form { FORM_OTHER, FORM_XDP, FORM_SKB };

/* Where the program has sent its packet (struct bpf_redirect_info). Nothing is sent: the host reads it. */
enum redirected { NOT_ASKED_TO, TO_INTERFACE, TO_MAP, TO_NOBODY };
struct redirect {
  u64 made;   /* enum redirected; 0 once the host has read it */
  u64 target; /* number of the interface, or address of a struct map */
  u64 key;
  u64 flags;
};

struct machine {
  u64 r[REGISTERS];
  u64 at;      /* operation that is next, after a stop the one that stopped */
  u64 fuel;    /* instructions that may run before STOP_FUEL */
  u64 action;  /* what to do first */
  u64 address; /* of a fault */
  u64 size;    /* of a fault, in bytes; number of a helper; index of a map */
  const struct code *code;
  struct region *table; /* region n stands at n & mask */
  u64 mask;
  u64 next;    /* lowest number that the next region may have */
  u64 live;    /* regions in the table */
  u64 changes; /* how often a frame was opened or closed */
  u64 patience;
  u8 *stacks;
  u64 depth;
  u64 numbers[MAX_FRAMES]; /* of the regions of the open frames' stacks; 0: the frame has none */
  struct region *context;  /* its place in the table; an empty place without one */
  struct region *packet;   /* the same for the packet */
  struct values *values;
  u64 value_places;
  u64 cpu;
  u64 status;                      /* 0 after a call of `host` or of a native helper that went well */
  u64 (ENTRY *host)(struct machine *, u64 why); /* compiled code asks the host, as the interpreter does by coming back */
  const u64 *calls;                /* addresses of the support library's functions */
  struct frame frames[MAX_FRAMES];
  u64 ask; /* not 0: every helper is the host's, because a spin lock is held, or the helpers are not the kernel's */
  u64 due; /* not 0: the reader of a ring waits to be woken, which only the host can do */
  struct record records[MAX_RECORDS];
  s32 (*clock)(s32 which, s64 time[2]); /* clock_gettime of the system; 0: the host has to be asked for the time */
  struct random *random;                /* 0: the host has to be asked for numbers */
  u64 waits; /* not 0: the run may wait where a ring is full, which only the host can do */
  u64 form;  /* enum form */
  struct redirect redirect;
  u64 locked; /* address of the spin lock that native code has taken and holds; 0: none */
  u32 *lock;  /* its word */
  u64 unseen; /* what helpers have done here since the host last looked at one; see MOST_UNSEEN */
};

ENTRY u64 ebpf_run(struct machine *m);

enum action { RESUME, ENTER, LEAVE, ENTER_SEEN /* ENTER, where all processors see the run's epoch already */ };

/* Why the interpreter came back. */
enum stop {
  STOP_EXIT,         /* the function that the host entered has returned */
  STOP_FUEL,         /* no fuel for the operation at `at` */
  STOP_HELPER,       /* helper `size` is called */
  STOP_TAIL,         /* tail call */
  STOP_STEP,         /* the operation at `at` is the host's */
  STOP_READ,         /* `size` bytes at `address` may not be read */
  STOP_WRITE,        /* ... written */
  STOP_ATOMIC,       /* the host has to carry out the atomic operation at `at`, or to say why it can't be */
  STOP_FRAMES,       /* too many frames */
  STOP_GROW,         /* no room in the table for a stack frame */
  STOP_MAP,          /* address of map `size` is wanted */
  STOP_MAP_VALUE,    /* address of the first value of map `size` is wanted */
  STOP_COMPILED,     /* compiled code gives up: the interpreter goes on with the operation at `at` */
  STOP_RAISED,       /* the host's answer to compiled code was an exception */
  STOP_UNKNOWN       /* compiled code does not have the function at `at`: the interpreter enters it */
};

_Static_assert(sizeof(struct op) == 16, "op");
_Static_assert(sizeof(struct map_ref) == 32, "map_ref");
_Static_assert(sizeof(struct code) == 32, "code");
_Static_assert(sizeof(struct region) == 64, "region");
_Static_assert(sizeof(struct values) == 64, "values");
_Static_assert(sizeof(struct frame) == 56, "frame");
_Static_assert(sizeof(struct random) == 16 + 4 * NUMBERS_AHEAD, "random");
_Static_assert(sizeof(struct machine) == 8 * (46 + 8 * MAX_FRAMES + 4 * MAX_RECORDS), "machine");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "programs are little-endian, and so is the host");
