"""What compiled code depends on besides its program: the processor, the system, and what made the code."""

from __future__ import annotations

import functools
import hashlib
import os
import sys

import ebpf
from ebpf.codegen.compiler import installed_version
from ebpf.codegen.image import processor, target_of_process

_CHANGING = (
    b"processor",
    b"cpu MHz",
    b"bogomips",
    b"BogoMIPS",
    b"apicid",
    b"initial apicid",
    b"core id",
    b"physical id",
)
"""Lines of /proc/cpuinfo that say which processor this is or how fast it runs, not what it can do."""


@functools.cache
def host_fingerprint() -> bytes:
    """Return a digest of processor, system, and the versions of this library and llvmlite, without importing that.

    Code compiled for this host may run where the digest is the same. Raises ImageError where no native code runs,
    OSError where the system does not say which processor this is.
    """
    versions = (target_of_process(), ebpf.__version__, installed_version() or "", sys.platform, processor())
    digest = hashlib.sha256("\0".join(versions).encode())
    digest.update(_processor())
    return digest.digest()


@functools.cache
def source_fingerprint(*packages: str) -> bytes:
    """Return a digest of the source of packages of this library, such as "vm.jit": what they make changes with them.

    Raises OSError where it can't be read.
    """
    digest = hashlib.sha256()
    for package in packages:
        directory = os.path.join(os.path.dirname(ebpf.__file__), *package.split("."))
        for name in sorted(os.listdir(directory)):
            if name.endswith(".py"):
                with open(os.path.join(directory, name), "rb") as file:
                    content = file.read()
                digest.update(f"{package}/{name}/{len(content)}/".encode() + content)
    return digest.digest()


if sys.platform == "win32":

    def _processor() -> bytes:
        """Return the processor's name and the features that Windows knows of (winnt.h, PF_*: 0 to 63)."""
        import ctypes

        present = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent
        features = bytes(bool(present(number)) for number in range(64))
        return os.environ.get("PROCESSOR_IDENTIFIER", "").encode() + features

else:

    def _processor() -> bytes:
        """Return what Linux says about the first processor: /proc/cpuinfo up to its first empty line."""
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            first = file.read(1 << 14).partition(b"\n\n")[0]
        if not first:
            raise OSError("/proc/cpuinfo is empty")
        return b"\n".join(line for line in first.split(b"\n") if not line.startswith(_CHANGING))
