/* CRC-32 of 64 bytes bit by bit: a loop in a loop, 32-bit shifts and masks. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u32 crc = ~0u;

	for (int i = 0; i < 64; i++) {
		if (data + 1 > end)
			break;
		crc ^= *data++;
		LOOP
		for (int bit = 0; bit < 8; bit++) {
			u32 mask = -(crc & 1);

			crc = crc >> 1 ^ (0xedb88320 & mask);
			SCALAR(crc);
		}
	}
	return ~crc & MASK31;
}

ENTRY(crc32)
