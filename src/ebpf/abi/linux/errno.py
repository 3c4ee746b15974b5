"""Error numbers of Linux that kernels answer with here, or that this library looks at.

The standard library's `errno` counts as the machine it runs on does; the embedded kernel answers with Linux numbers
everywhere, so they are written out here (include/uapi/asm-generic/errno.h, include/linux/errno.h). ENOTSUPP (524) never
leaves the kernel by design, but bpf() returns it. Names and texts of all numbers are in errtexts.py.
"""

from __future__ import annotations

EPERM = 1
ENOENT = 2
EINTR = 4
ENXIO = 6
E2BIG = 7
EBADF = 9
EAGAIN = 11
ENOMEM = 12
EACCES = 13
EFAULT = 14
EBUSY = 16
EEXIST = 17
ENODEV = 19
ENOTDIR = 20
EINVAL = 22
EMFILE = 24
ENOSPC = 28
ERANGE = 34
ENOSYS = 38
ENOTEMPTY = 39
ENOLINK = 67
EBADMSG = 74
EOVERFLOW = 75
EBADFD = 77
EOPNOTSUPP = 95
ESTALE = 116
ENOTSUPP = 524
