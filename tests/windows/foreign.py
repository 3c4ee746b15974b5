"""Makes this interpreter look like one of another operating system, as far as Python sees; then runs a statement.

    python -I foreign.py win32 'statement'

What the system lacks can't be imported or looked up: modules (fcntl, resource, …) and names of os, select, mmap, signal
and socket. `os.name` stays posix inside the standard library, which was chosen for this machine when it was imported.
"""

from __future__ import annotations

import importlib.abc
import sys
from contextlib import suppress
from typing import NoReturn

POSIX_ONLY = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "crypt", "_posixshmem"}
LACKING_MODULES = {"win32": POSIX_ONLY, "darwin": set[str]()}
LINUX_ONLY = {
    "os": ["eventfd", "eventfd_read", "eventfd_write", "sched_getaffinity", "sched_setaffinity", "memfd_create",
           "pidfd_open", "setns", "unshare", "EFD_NONBLOCK", "EFD_CLOEXEC", "EFD_SEMAPHORE", "splice"],
    "select": ["epoll", "EPOLLIN", "EPOLLOUT", "EPOLLERR", "EPOLLHUP", "EPOLLET", "EPOLLONESHOT", "EPOLL_CLOEXEC"],
    "socket": ["AF_PACKET", "AF_NETLINK", "AF_VSOCK", "PF_PACKET", "SO_ATTACH_BPF"],
    "mmap": ["MAP_POPULATE", "MAP_DENYWRITE", "MADV_DONTFORK"],
}  # fmt: skip
UNIX_ONLY = {
    "os": ["fork", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "setuid", "uname", "sysconf", "kill",
           "sched_yield", "pread", "pwrite", "statvfs", "fchmod", "mkfifo", "chown", "getloadavg", "WNOHANG",
           "O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW"],
    "select": ["poll", "kqueue", "POLLIN", "POLLOUT", "POLLERR", "POLLHUP"],
    "signal": ["SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGHUP", "SIGCHLD", "alarm", "setitimer",
               "pthread_sigmask", "pthread_kill", "sigwait"],
    "socket": ["AF_UNIX", "socketpair_unix", "SCM_RIGHTS", "sethostname"],
    "mmap": ["PROT_READ", "PROT_WRITE", "PROT_EXEC", "MAP_SHARED", "MAP_PRIVATE", "MAP_ANON", "MAP_ANONYMOUS"],
    "time": ["clock_gettime", "clock_gettime_ns", "CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME", "tzset"],
}  # fmt: skip
LACKING_NAMES = {"win32": [LINUX_ONLY, UNIX_ONLY], "darwin": [LINUX_ONLY]}


class Blocker(importlib.abc.MetaPathFinder):
    """Refuses modules that the system lacks."""

    def __init__(self, lacking: set[str], system: str) -> None:
        self.lacking = lacking
        self.system = system

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self.lacking:
            raise ModuleNotFoundError(f"No module named {name!r} on {self.system}", name=name)


SEEN = (
    "asyncio", "subprocess", "logging", "tempfile", "random", "ctypes.util", "socket", "importlib.resources", "zipfile",
    "click", "rich.console", "rich.table", "rich.progress", "elftools.elf.elffile", "dpkt", "numpy",
)  # fmt: skip
"""Other people's code, imported before: it chooses by the system too, and is not what is tested."""


def disguise(system: str) -> None:
    """Take away what `system` lacks."""
    for name in SEEN:
        with suppress(ModuleNotFoundError):
            __import__(name)
    for table in LACKING_NAMES[system]:
        for module, names in table.items():
            for name in names:
                vars(__import__(module)).pop(name, None)
    for name in LACKING_MODULES[system] & set(sys.modules):
        del sys.modules[name]
    sys.meta_path.insert(0, Blocker(LACKING_MODULES[system], system))
    sys.platform = system


def cdll(*_: object, **__: object) -> NoReturn:
    """Stand for a C library that is not there."""
    raise OSError("no C library of this name on this system")


def import_everything() -> list[str]:
    """Import each module of the package; return their names."""
    import importlib
    import pkgutil

    import ebpf

    names = [found.name for found in pkgutil.walk_packages(ebpf.__path__, "ebpf.") if found.name != "ebpf.__main__"]
    for name in names:
        importlib.import_module(name)
    return names


def main(system: str, statement: str) -> None:
    """Disguise this interpreter and run the statement."""
    disguise(system)
    import ctypes

    namespace: dict[str, object] = {"import_everything": import_everything}
    ctypes.CDLL = cdll  # type: ignore[assignment,misc]  # a type and a function are called alike
    exec(statement, namespace)


if __name__ == "__main__":
    main(*sys.argv[1:])
