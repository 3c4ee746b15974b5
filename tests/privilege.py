"""What this process may do; tests that need more skip and say what is missing."""

from __future__ import annotations

import sys
from functools import cache

CAP_SYS_ADMIN = 21
CAP_BPF = 39


@cache
def missing_bpf_privilege() -> str | None:
    """Return what keeps this process from calling bpf(), or None where it may: then the tests must run."""
    if sys.platform != "linux":
        return "bpf() exists on Linux only"
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    if not effective & (1 << CAP_SYS_ADMIN | 1 << CAP_BPF):
        return "bpf() needs CAP_BPF: run the tests as root"
    return None
