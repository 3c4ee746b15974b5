/* Bloom filters (kernel/bpf/bloom_filter.c). `values` are the bits, `bucket_mask` is their number less one, `capacity` the
   number of hash functions. Bits are only ever set, so there is nothing to lock. */
#include "map_lock.h"

static u64 bloom_bit(const struct map *map, const u8 *value, u64 function) {
  return hash_of(value, map->value_size, map->seed + function * 0xa0761d6478bd642f) & map->bucket_mask;
}

/* Add a value. */
ENTRY s64 ebpf_bloom_push(struct map *map, const u8 *value) {
  for (u64 i = 0; i < map->capacity; i++) {
    u64 bit = bloom_bit(map, value, i);
    __atomic_fetch_or((u64 *)map->values + bit / 64, 1ull << bit % 64, __ATOMIC_RELAXED);
  }
  return 0;
}

/* Whether a value may have been added: 0, or -ENOENT. */
ENTRY s64 ebpf_bloom_peek(struct map *map, const u8 *value) {
  for (u64 i = 0; i < map->capacity; i++) {
    u64 bit = bloom_bit(map, value, i);
    if (!(__atomic_load_n((u64 *)map->values + bit / 64, __ATOMIC_RELAXED) >> bit % 64 & 1)) return -E_NOENT;
  }
  return 0;
}
