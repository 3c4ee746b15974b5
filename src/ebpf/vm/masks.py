"""What is left of a number in a register, and in the lower half of one."""

from __future__ import annotations

M32 = 0xFFFF_FFFF
M64 = 0xFFFF_FFFF_FFFF_FFFF
