/* 256 look-ups in an array map; each reads a value and writes one. */
#define MAP_TYPE 2 /* BPF_MAP_TYPE_ARRAY */
#include "map.h"

ENTRY(maparr)
