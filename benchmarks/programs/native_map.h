/* The maps of native code, inline: what look-ups of the embedded kernel are measured against.
 *
 * They are built like its own (support/map.h): the same hash function, at most half as many elements as buckets, chains of
 * 32-bit element numbers from 1 on, values in a table beside that of the keys. With -DDESCRIPTOR sizes and tables are
 * found through memory, as those of a map made at run time are; without, they are constants, the strictest limit.
 */
#pragma once
#include "program.h"

#define HIDDEN __attribute__((visibility("hidden"))) extern
#define BUCKETS (2 * ELEMENTS)
#define SEED 0x243f6a8885a308d3ULL

struct node {
	u32 next, slot, key;
};

struct map {
	u64 size, mask, seed;
	u32 *buckets;
	struct node *nodes;
	u64 *values;
};

/* Defined in native_map.c, where no compiler of a program sees what is in them. */
HIDDEN u32 buckets[BUCKETS];
HIDDEN struct node nodes[ELEMENTS + 1];
HIDDEN u64 values[ELEMENTS + 1];
HIDDEN struct map descriptor;

/* Read once, before the loop. */
#if defined(DESCRIPTOR)
#define OPEN_MAP const struct map map = descriptor;
#else
#define OPEN_MAP const struct map map = {ELEMENTS, BUCKETS - 1, SEED, buckets, nodes, values};
#endif

/* The hash of a 4-byte key. The one place to change when the embedded kernel's changes, and hash() in maps.rs. */
INLINE u64 hash(u32 key, u64 seed)
{
	unsigned __int128 product = (unsigned __int128)(key ^ seed) * 0x9e3779b97f4a7c15ULL;

	return (u64)product ^ (u64)(product >> 64);
}

INLINE u64 *look_up_array(const struct map *map, u32 key)
{
	return key < map->size ? &map->values[key] : 0;
}

INLINE u64 *look_up_hash(const struct map *map, u32 key)
{
	u32 element = map->buckets[hash(key, map->seed) & map->mask];

	while (element) {
		if (map->nodes[element].key == key)
			return &map->values[element];
		element = map->nodes[element].next;
	}
	return 0;
}
