/* 256 bytes copied to the stack and compared with the next 256, byte by byte: the stack through an index. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u8 copy[256];

	if (data + 512 > end)
		return 0;
	LOOP
	for (int i = 0; i < 256; i++) {
		u64 byte = data[i];

		SCALAR(byte);
		copy[i] = byte;
	}
	LOOP
	for (int i = 0; i < 256; i++) {
		u64 byte = copy[i];

		SCALAR(byte);
		if (byte != data[256 + i])
			return i;
	}
	return 256;
}

ENTRY(memstr)
