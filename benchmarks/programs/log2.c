/* The binary logarithm of 128 words by comparing and shifting: long chains of dependent arithmetic, no branches. */
#include "program.h"

INLINE u32 logarithm(u64 x)
{
	u32 result, shift;

	result = (x > 0xffffffffULL) << 5;
	x >>= result;
	shift = ((u32)x > 0xffff) << 4;
	x >>= shift;
	result |= shift;
	shift = ((u32)x > 0xff) << 3;
	x >>= shift;
	result |= shift;
	shift = ((u32)x > 0xf) << 2;
	x >>= shift;
	result |= shift;
	shift = ((u32)x > 3) << 1;
	x >>= shift;
	result |= shift;
	return result | ((u32)x >> 1 & 1);
}

INLINE u64 run(u8 *data, u8 *end)
{
	u64 sum = 0;

	for (int i = 0; i < 128; i++) {
		if (data + 8 > end)
			break;
		sum += logarithm(*(u64 *)data);
		data += 8;
	}
	return sum;
}

ENTRY(log2)
