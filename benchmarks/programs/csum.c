/* The Internet checksum (RFC 1071) of 1,480 bytes, 16 bits at a time: a load and an addition over a moving pointer. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u64 sum = 0;

	for (int i = 0; i < 740; i++) {
		if (data + 2 > end)
			break;
		sum += *(u16 *)data;
		data += 2;
		SCALAR(sum);
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum ^ 0xffff;
}

ENTRY(csum)
