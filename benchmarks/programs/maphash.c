/* 256 look-ups in a hash map; each reads a value and writes one. */
#define MAP_TYPE 1 /* BPF_MAP_TYPE_HASH */
#include "map.h"

ENTRY(maphash)
