/* The maps of native code, inline: what look-ups of the embedded kernel are measured against.
 *
 * The hash map is built like the embedded kernel's (support/): the same hash function, a table of 32-bit element numbers
 * with at most half as many elements as buckets, elements of one bucket chained. With -DDESCRIPTOR sizes and tables
 * are found through memory, as those of a map made at run time are; without, they are constants, the strictest limit.
 */
#pragma once
#include "program.h"

#define HIDDEN __attribute__((visibility("hidden"))) extern
#define BUCKETS (2 * ELEMENTS)
#define NONE 0xffffffff

struct element {
	u32 next, key;
	u64 value;
};

struct map {
	u32 size, mask;
	u32 *buckets;
	struct element *elements;
	u64 *values;
};

/* Defined in native_map.c, where no compiler of a program sees what is in them. */
HIDDEN u32 buckets[BUCKETS];
HIDDEN struct element elements[ELEMENTS];
HIDDEN u64 values[ELEMENTS];
HIDDEN struct map descriptor;

/* Read once, before the loop. */
#if defined(DESCRIPTOR)
#define OPEN_MAP const struct map map = descriptor;
#else
#define OPEN_MAP const struct map map = {ELEMENTS, BUCKETS - 1, buckets, elements, values};
#endif

/* The hash of a 4-byte key. The one place to change when the embedded kernel's changes. */
INLINE u32 hash(u32 key)
{
	key ^= key >> 16;
	key *= 0x7feb352d;
	key ^= key >> 15;
	key *= 0x846ca68b;
	key ^= key >> 16;
	return key;
}

INLINE u64 *look_up_array(const struct map *map, u32 key)
{
	return key < map->size ? &map->values[key] : 0;
}

INLINE u64 *look_up_hash(const struct map *map, u32 key)
{
	u32 index = map->buckets[hash(key) & map->mask];

	while (index != NONE) {
		struct element *element = &map->elements[index];

		if (element->key == key)
			return &element->value;
		index = element->next;
	}
	return 0;
}
