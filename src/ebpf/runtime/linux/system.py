"""Facts about this machine: possible CPUs, kernel BTF, where tracefs is."""

from __future__ import annotations

import os
import sys
from functools import cache

from ebpf.btf import Btf
from ebpf.errors import NotSupportedError

_BTF_DIRECTORY = "/sys/kernel/btf"


def parse_cpu_list(text: str) -> list[int]:
    """Turn the kernel's list of CPUs (`0-3,8`) into numbers."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


@cache
def possible_cpus() -> tuple[int, ...]:
    """Return the CPUs that may ever come online: those that per-CPU values have room for."""
    if sys.platform != "linux":
        raise NotSupportedError("counting the CPUs of Linux", runtime=sys.platform)
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return tuple(parse_cpu_list(file.read()))


def kernel_btf(module: str | None = None) -> Btf:
    """Return the types of the running kernel or of a loaded module; parsed once.

    Raises NotSupportedError where the kernel was built without (CONFIG_DEBUG_INFO_BTF) or the module has none.
    """
    name = module or "vmlinux"
    path = os.path.join(_BTF_DIRECTORY, name)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise NotSupportedError(
            f"BTF of {name}", runtime="linux", since="Linux 5.4", alternative=f"there is no {path}"
        ) from None
    # A module that is unloaded and loaded again gets a new file.
    return _parse(name, status.st_ino, status.st_size)


@cache
def _parse(name: str, _inode: int, size: int) -> Btf:
    with open(os.path.join(_BTF_DIRECTORY, name), "rb") as file:
        data = file.read(size)
    return Btf.parse(data, base=kernel_btf() if name != "vmlinux" else None)


def tracefs() -> str:
    """Return where tracefs is mounted; NotSupportedError with the remedy where it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            if after.startswith("tracefs "):
                return before.split()[4].replace("\\040", " ")
    raise NotSupportedError(
        "finding tracepoints",
        runtime="linux",
        alternative="mount tracefs: mount -t tracefs tracefs /sys/kernel/tracing",
    )
