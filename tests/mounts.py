"""File systems of the tests' own, in a mount namespace that vanishes with this process (man 7 mount_namespaces)."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

_CLONE_NEWNS = 0x20000
BPF = Path("/sys/fs/bpf")


def mount_own(directory: Path) -> None:
    """Mount a fresh BPF file system, and in `directory` the cgroups where nothing shows them.

    Without CAP_SYS_ADMIN the machine's own stay in use. To be called while this process has one thread: others would
    stay in the old namespace.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS):
        return
    for root in ("/", "/sys"):  # in a chroot neither need be a mount point
        subprocess.run(["mount", "--make-rprivate", root], stderr=subprocess.DEVNULL)
    if BPF.is_dir():
        subprocess.run(["mount", "-t", "bpf", "bpf", BPF], check=True)
    if cgroup_root() is None:
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", directory], check=True)


def cgroup_root() -> Path | None:
    """Return where the cgroups (version 2) are mounted."""
    with open("/proc/mounts", encoding="ascii", errors="replace") as mounts:
        roots = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    return Path(roots[0]) if roots else None
