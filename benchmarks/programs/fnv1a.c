/* The FNV-1a hash of 1,480 bytes: every step waits for the multiplication of the one before. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u64 hash = 0xcbf29ce484222325ULL;

	for (int i = 0; i < 1480; i++) {
		if (data + 1 > end)
			break;
		hash ^= *data++;
		hash *= 0x100000001b3ULL;
	}
	return (hash ^ hash >> 32) & MASK31;
}

ENTRY(fnv1a)
