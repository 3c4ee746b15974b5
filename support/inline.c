/* What compiled programs take into themselves instead of calling it through the machine, as bitcode.

   It is linked into each program's module, where nothing of it is visible from outside; what a program does not use
   goes away. Numbers that the compiler knows (sizes, the type of a map) are arguments, so that they fold. */
#include "memory.h"
#include "calls.c"

#define INLINED __attribute__((always_inline))

/* Number of the element of an array for a key of 4 bytes, NONE where there is none. */
INLINED u64 ebpf_array_element(u64 max_entries, const u8 *key) { return array_element(max_entries, key); }

/* The same for a hash. An LRU map has to be told of the use, too.

   What never changes of a map comes from before the program's first loop, and the key from a copy: behind the acquire
   loads of a look-up the compiler would load all of it again. */
INLINED u64 ebpf_hash_element(u8 *nodes, u64 node_stride, u32 *buckets, u64 bucket_mask, u64 seed, const u8 *key,
                              u64 key_size) {
  struct map map;
  map.nodes = nodes;
  map.node_stride = node_stride;
  map.buckets = buckets;
  map.bucket_mask = bucket_mask;
  map.seed = seed;
  if (key_size == 4) {
    u32 copy = load32(key);
    return hash_element(&map, (const u8 *)&copy, 4);
  }
  if (key_size == 8) {
    u64 copy = load64(key);
    return hash_element(&map, (const u8 *)&copy, 8);
  }
  return hash_element(&map, key, key_size);
}
