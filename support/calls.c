/* What compiled programs call through `machine.calls`. */
#include "frames.h"
#include "memory.h"

/* Return the host's memory of `size` bytes at `address`, 0 where they are not accessible in that way. */
ENTRY u64 ebpf_find(struct machine *m, u64 address, u64 size, u64 access) {
  const struct region *region = m->table + (address >> 32 & m->mask);
  u64 inside = address - region->first;
  u64 index = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  u64 readable = !(access & READABLE) || inside < region->read[index];
  u64 writable = !(access & WRITABLE) || inside < region->write[index];
  return (u64)(readable && writable ? region->data + inside : value_bytes(m, address, size, access));
}

/* Open the stack of a frame, of which the program may see the last `size` bytes, a multiple of 8. */
ENTRY u64 ebpf_open_frame(struct machine *m, u64 depth, u64 size) { return open_stack(m, depth, size); }

ENTRY u64 ebpf_close_frame(struct machine *m, u64 end) {
  close_stack(m, end);
  return 0;
}
