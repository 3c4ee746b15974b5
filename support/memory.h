/* From a program's addresses to the host's memory, where it is not a region that holds the whole access. */
#pragma once
#include "map.h"

/* Where the bytes of a map's value are (`access`: READABLE | WRITABLE, what is needed of both); 0 where the address is none of a value, or the access not allowed. */
static inline u8 *value_bytes(const struct machine *m, u64 address, u64 size, u64 access) {
  u64 place = (address & ~VALUE_ADDRESS) >> VALUE_PLACE_SHIFT;
  if (!(address & VALUE_ADDRESS) || place >= m->value_places) return 0;
  const struct values *values = m->values + place;
  u64 rest = address & ((1ull << VALUE_PLACE_SHIFT) - 1);
  u64 number = rest >> values->shift, offset = rest & ((1ull << values->shift) - 1);
  if (number >= values->count || (values->access & access) != access) return 0;
  if (offset > values->size || size > values->size - offset) return 0;
  return values->data + number * values->stride + offset;
}

/* Looks at signals are counted in instructions, which is not what helpers take their time for. So one call goes to the
   host now and then: it looks at each of its calls. A call is as long as its copies, in bytes, and a constant. The host
   makes the longest copies itself. */
enum { LONGEST_COPY = 4096, CALL_UNSEEN = 1 << 10, MOST_UNSEEN = 1 << 26 };

/* Where the bytes are that a helper was promised; 0 where they are not accessible, or the host has to look closer. */
static inline u8 *promised(struct machine *m, u64 address, u64 size, u64 access) {
  if (size > LONGEST_COPY) return 0;
  m->unseen += size;
  const struct region *region = m->table + (address >> 32 & m->mask);
  u64 inside = address - region->first, room = access == WRITABLE ? region->write[0] : region->read[0];
  if (inside < room) return size <= room - inside && !region->opaque ? region->data + inside : 0;
  return value_bytes(m, address, size, access);
}

/* The map in native storage that an address stands for; 0 for every other address. */
static inline const struct values *map_at(const struct machine *m, u64 address) {
  u64 place = (address & ~MAP_ADDRESS) >> VALUE_PLACE_SHIFT;
  if ((address & MAP_ADDRESS) != MAP_ADDRESS || place >= m->value_places) return 0;
  if (address << (64 - VALUE_PLACE_SHIFT) || !place) return 0;
  return m->values + place;
}
