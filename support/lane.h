/* A lane: where runs of one program follow each other without the host in between. Words of 64 bits, as in struct
   machine; src/ebpf/vm/lane.py has the same numbers. */
#pragma once
#include "bytes.h"
#include "machine.h"

/* Why a lane came back, beside enum stop. */
enum lane_stop {
  STOP_SLICE = 32, /* between two runs: the host wants to look at signals */
  STOP_REFUSED,    /* packet `index` is none that is run here */
  STOP_LEFT        /* the run has ended, and left records that it had reserved, or a lock that it had taken */
};

/* The first value of a map, which native code may give an address to without asking. */
struct first_value {
  u8 *data; /* 0: the host has to be asked */
  u64 readable;
  u64 writable; /* bytes that may be written: all of them or none */
};

/* Packets of a batch: number i is `lengths[i]` bytes of `source` from `starts[i]` on. Each is copied to `out`, one behind
   the other, and the program runs over it there. */
struct batch {
  u64 index; /* the packet that is next, after a stop the one that stopped */
  u64 count;
  const u8 *source;
  u64 source_size;
  const u64 *starts; /* 0: packets follow each other in `source` as they do in `out` */
  const u64 *lengths;
  u8 *out;
  u64 position; /* in `out`, of the packet that is next */
  u64 room;     /* bytes of `out` */
  u64 *positions;
  u32 *retvals;
};

struct function;

struct lane {
  struct machine machine; /* first: who has the machine has the lane */
  const struct code *code;
  const struct first_value *firsts;
  u64 maps;
  u64 regions;  /* that there are before the program runs: context and packet */
  u64 argument; /* what r1 holds */
  u64 budget;   /* instructions of a run */
  u64 patience;
  u64 slice;    /* instructions until the host wants to look at signals */
  u64 given;    /* fuel that the last run was given */
  u64 answered; /* addresses of maps that native code has given in the last run */
  u64 start;    /* the packet's first byte is at this offset of its region */
  u64 hidden;   /* bytes of its link layer header, which the program does not see */
  u64 writable;
  u64 shortest; /* packets that are run here */
  u64 longest;
  u64 *fields;  /* of the internal context */
  u64 times;    /* to go, of a repeated run */
  u64 *epoch;   /* when the run began, for maps in native storage; 0 between runs */
  const u64 *now;
  u64 runs;     /* that there have been, for `epoch` */
  u64 kept;     /* the last run left nearly everything as it was */
  u64 leaves;   /* the program may leave records behind, or a spin lock: it has such maps */
  u64 (ENTRY *refuel)(struct machine *); /* gives compiled code more fuel and sets `status` to 0, or does nothing; may be 0 */
  struct function *function; /* whose lane it is; 0: no function's */
  struct batch batch;
};

_Static_assert(sizeof(struct first_value) == 24, "first_value");
_Static_assert(sizeof(struct batch) == 88, "batch");
_Static_assert(sizeof(struct lane) == sizeof(struct machine) + 8 * 24 + sizeof(struct batch), "lane");
