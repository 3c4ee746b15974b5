/* The tables of native_map.h, with all keys in them and all values 0. */
#include "native_map.h"

u32 buckets[BUCKETS];
struct node nodes[ELEMENTS + 1];
u64 values[ELEMENTS + 1];
struct map descriptor = {ELEMENTS, BUCKETS - 1, SEED, buckets, nodes, values};

__attribute__((constructor)) static void fill(void)
{
	for (u32 key = 0; key < ELEMENTS; key++) {
		u32 *bucket = &buckets[hash(key, SEED) & (BUCKETS - 1)];

		nodes[key + 1] = (struct node){.next = *bucket, .key = key};
		*bucket = key + 1;
	}
}
