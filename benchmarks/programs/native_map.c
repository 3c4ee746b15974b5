/* The tables of native_map.h, with all keys in them and all values 0. */
#include "native_map.h"

u32 buckets[BUCKETS];
struct element elements[ELEMENTS];
u64 values[ELEMENTS];
struct map descriptor = {ELEMENTS, BUCKETS - 1, buckets, elements, values};

__attribute__((constructor)) static void fill(void)
{
	for (u32 bucket = 0; bucket < BUCKETS; bucket++)
		buckets[bucket] = NONE;
	for (u32 key = 0; key < ELEMENTS; key++) {
		u32 bucket = hash(key) & (BUCKETS - 1);

		elements[key] = (struct element){buckets[bucket], key, 0};
		buckets[bucket] = key;
	}
}
