/* 768 calls of subprograms, three deep. */
#include "program.h"

/* Keeps clang from computing a subprogram's result without calling it. */
#define NOT_PURE __asm__ volatile("")

SUBPROGRAM u64 third(u64 a, u64 b)
{
	NOT_PURE;
	return a * 31 + b;
}

SUBPROGRAM u64 second(u64 a, u64 b)
{
	NOT_PURE;
	return third(a + b, b >> 1) ^ 3;
}

SUBPROGRAM u64 first(u64 a, u64 b)
{
	NOT_PURE;
	return second(a ^ b, b) + 1;
}

INLINE u64 run(u8 *data, u8 *end)
{
	u64 sum = 0, start;

	if (data + 8 > end)
		return 0;
	start = *(u32 *)data;
	LOOP
	for (int i = 0; i < 256; i++)
		sum += first(sum, start + i);
	return sum & MASK31;
}

ENTRY(calls)
