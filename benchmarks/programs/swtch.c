/* A state machine over 512 bytes: a switch of 13 ways, which bytecode does by comparing and native code by a table. */
#include "program.h"

INLINE u64 run(u8 *data, u8 *end)
{
	u64 state = 0, count = 0, number = 0;

	for (int i = 0; i < 512; i++) {
		u32 symbol;

		if (data + 1 > end)
			break;
		symbol = *data++ & 15;
		switch (symbol) {
		case 0:
			state = 0;
			break;
		case 1:
			count++;
			break;
		case 2:
			number = number * 10 + state;
			break;
		case 3:
			state = (state + 1) & 7;
			break;
		case 4:
			count += state;
			break;
		case 5:
			number ^= count;
			break;
		case 6:
			state ^= 3;
			break;
		case 7:
			count = count * 3 + 1;
			break;
		case 8:
			number += 7;
			break;
		case 9:
			state = (state * 5) & 7;
			break;
		case 10:
			count ^= number >> 3;
			break;
		case 11:
			number -= count;
			break;
		default:
			count += symbol;
			state = (state + symbol) & 7;
			SCALAR(state);
		}
	}
	return (count ^ number ^ state) & MASK31;
}

ENTRY(swtch)
