/* Trial division of 64 numbers: 64-bit remainders and branches that depend on them. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u64 first, primes = 0;

	if (data + 8 > end)
		return 0;
	first = (*(u32 *)data & 0x3ff) + 1000;
	for (int i = 0; i < 64; i++) {
		u64 number = first + i, is_prime = 1;

		LOOP
		for (u64 divisor = 2; divisor < 32; divisor++) {
			if (number % divisor == 0) {
				is_prime = 0;
				break;
			}
		}
		primes += is_prime;
	}
	return primes;
}

ENTRY(prime)
