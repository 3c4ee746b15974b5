"""Flags of programs."""

from __future__ import annotations

from enum import IntFlag


class ProgramFlag(IntFlag):
    """Flags of BPF_PROG_LOAD (`BPF_F_*`)."""

    STRICT_ALIGNMENT = 1 << 0
    ANY_ALIGNMENT = 1 << 1
    TEST_RND_HI32 = 1 << 2
    TEST_STATE_FREQ = 1 << 3
    SLEEPABLE = 1 << 4
    XDP_HAS_FRAGS = 1 << 5
    XDP_DEV_BOUND_ONLY = 1 << 6
    TEST_REG_INVARIANTS = 1 << 7
