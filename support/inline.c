/* What compiled programs take into themselves instead of calling it through the machine, as bitcode.

   It is linked into each program's module, where nothing of it is visible from outside; what a program does not use
   goes away. Numbers that the compiler knows (sizes, the type of a map) are arguments, so that they fold. */
#include "memory.h"
#include "calls.c"

#define INLINED __attribute__((always_inline))

/* Number of the element of an array for a key of 4 bytes, NONE where there is none. */
INLINED u64 ebpf_array_element(u64 max_entries, const u8 *key) { return array_element(max_entries, key); }

/* Number of the element of a hash for a key, NONE where there is none. An LRU map has to be told of the use, too. */
INLINED u64 ebpf_hash_element(const struct map *map, const u8 *key, u64 key_size) {
  return hash_element(map, key, key_size);
}
