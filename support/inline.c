/* What becomes part of compiled programs, as LLVM bitcode: look-ups in hash tables. */
#include "map.h"

/* Number of the element with a key, NONE where there is none; `key_size` is a constant where it is called. */
__attribute__((always_inline)) u64 ebpf_hash_element(const struct map *map, const u8 *key, u64 key_size) {
  return hash_element(map, key, key_size);
}
