/* A program over one map of ELEMENTS values of 8 bytes. MAP_TYPE says which (enum bpf_map_type).
 *
 *   -DXDP    the map is the kernel's
 *   -DUSER   helper 1 looks up; its first argument is the type
 *   neither  the map is inline in C (native_map.h)
 */
#pragma once
#include "program.h"

#define HASH 1
#define ARRAY 2
#define TURNS 256

#if defined(XDP)

struct {
	int (*type)[MAP_TYPE];
	u32 *key;
	u64 *value;
	int (*max_entries)[ELEMENTS];
} cells SECTION(".maps");

static void *(*const helper)(void *map, const void *key) = (void *)1;
#define LOOKUP(key) helper(&cells, &key)

#elif defined(USER)

static void *(*const helper)(void *map, const void *key) = (void *)1;
#define LOOKUP(key) helper((void *)MAP_TYPE, &key)

#else

#include "native_map.h"

#if MAP_TYPE == ARRAY
#define LOOKUP(key) look_up_array(&map, key)
#else
#define LOOKUP(key) look_up_hash(&map, key)
#endif

#endif

#if !defined(OPEN_MAP)
#define OPEN_MAP
#endif

/* Each turn reads a value and writes one that depends on its key alone: from the second run on all runs are equal. */
INLINE u64 run(u8 *data, u8 *end)
{
	u64 sum = 0;
	u32 first;

	if (data + 8 > end)
		return 0;
	first = *(u32 *)data;
	OPEN_MAP
	LOOP
	for (u32 turn = 0; turn < TURNS; turn++) {
		u32 key = (first + turn * 7) & (ELEMENTS - 1);
		u64 *value = LOOKUP(key);

		if (value) {
			sum += *value;
			*value = key;
		}
	}
	return sum & MASK31;
}
