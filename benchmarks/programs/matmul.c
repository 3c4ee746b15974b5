/* The product of two 8 by 8 matrices, written into the packet: three loops, loads and stores by computed address. */
#include "program.h"

#define N 8

INLINE u64 run(u8 *data, u8 *end)
{
	u32 *a = (u32 *)data, *b = a + N * N, *product = b + N * N;

	if (data + 1024 > end)
		return 0;
	for (int row = 0; row < N; row++) {
		LOOP
		for (int column = 0; column < N; column++) {
			u32 sum = 0;

			LOOP
			for (int k = 0; k < N; k++) {
				u32 term = a[row * N + k] * b[k * N + column];

				SCALAR(term);
				sum += term;
			}
			product[row * N + column] = sum;
		}
	}
	return product[N * N - 1] & MASK31;
}

ENTRY(matmul)
