"""Compiled code on disk: one file an entry, private to the user, and never trusted for being there.

An entry is machine code that gets executed. So the directory has to belong to this user, nobody else may write to it,
and every entry is sealed with a key of the directory's own (HMAC-SHA256): what is damaged, cut short or comes from
somewhere else is a miss. Trouble with the disk never is an error: a cache that can't be used is no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import stat
import struct
import sys
import time
from functools import cache
from typing import TYPE_CHECKING

from ebpf.codegen.fingerprint import host_fingerprint as host_fingerprint  # belongs into most keys
from ebpf.codegen.flat import FlatCode

if TYPE_CHECKING:
    # Not for more than the annotation: a warm start is made of milliseconds, and importing this takes some.
    from pathlib import Path

DIRECTORY_VARIABLE = "EBPF_CACHE_DIR"
SWITCH_VARIABLE = "EBPF_CACHE"
"""Environment variables: where the cache is; "off" turns it off."""
LIMIT = 256 << 20
"""Bytes that the entries may take; the oldest go when they take more."""

log = logging.getLogger("ebpf")

_VERSION = 1
_MAGIC = b"ebpf\0obj"
_HEADER = struct.Struct("<8sIIIQ")
"""Magic, version, lengths of key, symbols and code. They follow in this order, the seal last."""
_SYMBOL = struct.Struct("<QH")
_SEAL = hashlib.sha256().digest_size
_SECRET = "secret"
_ENTRY, _PARTIAL = ".obj", ".partial"
_ABANDONED = 3600
"""Seconds after which a file that was never completed is nobody's."""


class ObjectCache:
    """Compiled code by key. Processes and threads may share a directory.

    It is `directory`, else $EBPF_CACHE_DIR, else "ebpf" in the user's directory for caches; made when something is put.
    """

    def __init__(self, directory: Path | None = None, *, limit: int = LIMIT) -> None:
        self.limit = limit
        self.off = _switched_off()
        """Whether nothing is kept: it is turned off, or was found to be of no use."""
        self._place = None if directory is None else os.fspath(directory)
        """Where it is to be; found out at the first use, if nobody has said it."""
        self._secret: bytes | None = None
        self.directory: str | None = None
        """Where the entries are; None before the first use, and if the cache can't be used."""

    def get(self, key: bytes) -> FlatCode | None:
        """Return what was put for a key, None if there is nothing. What can't be right is removed."""
        if not self._open(create=False) or self.directory is None:
            return None
        path = os.path.join(self.directory, _name(key))
        try:
            content = _read_own(path, self.limit)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.info("%s is no entry of the cache: %s", path, error)
            content = b""
        code = self._unpack(key, content)
        if code is None:
            _remove(path)
        return code

    def put(self, key: bytes, code: FlatCode) -> None:
        """Keep code for a key, in place of what was kept before."""
        if not self._open(create=True) or self.directory is None:
            return
        content = self._pack(key, code)
        try:
            _write_whole(os.path.join(self.directory, _name(key)), content)
            # The seal is a random number: on average this is once for each sixteenth of the limit, whoever writes it.
            if int.from_bytes(content[-4:], "little") / (1 << 32) < len(content) * 16 / self.limit:
                _trim(self.directory, self.limit)
        except OSError as error:
            self._give_up(f"can't be written: {error}")

    def _open(self, *, create: bool) -> bool:
        """Find directory and secret, once. Return whether there is a cache."""
        if self.off or self._secret is not None:
            return not self.off
        try:
            self._place = directory = self._place or _users_directory()
            if create:
                os.makedirs(directory, mode=0o700, exist_ok=True)
            # Whoever changes a link on the way later has no influence.
            directory = os.path.realpath(directory, strict=True)
            if (why := _exposed(os.stat(directory), 0o022)) is not None:
                raise PermissionError(f"the directory {why}")
            self._secret = _read_secret(os.path.join(directory, _SECRET), create=create)
        except FileNotFoundError as error:
            if create:
                self._give_up(str(error))
            return False
        except OSError as error:
            self._give_up(str(error))
            return False
        self.directory = directory
        return True

    def _give_up(self, why: str) -> None:
        log.info("compiled programs are not kept in %s: %s", self.directory or self._place or "the cache", why)
        self.off, self.directory, self._secret = True, None, None

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._secret or b"", content, "sha256")

    def _pack(self, key: bytes, code: FlatCode) -> bytes:
        names = {name.encode(): offset for name, offset in code.symbols.items()}
        symbols = b"".join(_SYMBOL.pack(offset, len(name)) + name for name, offset in names.items())
        header = _HEADER.pack(_MAGIC, _VERSION, len(key), len(symbols), len(code.code))
        content = header + key + symbols + code.code
        return content + self._seal(content)

    def _unpack(self, key: bytes, content: bytes) -> FlatCode | None:
        """Return the code of an entry, None for anything that `_pack` did not make of this key."""
        body = content[:-_SEAL]
        if len(body) < _HEADER.size or not hmac.compare_digest(self._seal(body), content[-_SEAL:]):
            return None
        magic, version, key_size, symbols_size, _ = _HEADER.unpack_from(body)
        start = _HEADER.size + key_size
        if (magic, version) != (_MAGIC, _VERSION) or body[_HEADER.size : start] != key:
            return None
        symbols, at, end = {}, start, start + symbols_size
        while at < end:
            offset, length = _SYMBOL.unpack_from(body, at)
            at += _SYMBOL.size + length
            symbols[body[at - length : at].decode()] = offset
        return FlatCode(body[end:], symbols)


def cache_key(*parts: bytes) -> bytes:
    """Return a key of 32 bytes for a sequence of parts: everything that the code depends on."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:40] + _ENTRY


def _switched_off() -> bool:
    switch = os.environ.get(SWITCH_VARIABLE, "")
    if switch not in ("", "on", "off"):
        _warn_of(switch)
    return switch == "off"


@cache
def _warn_of(switch: str) -> None:
    """Say it once: each compile makes a cache of its own."""
    log.warning("%s is %r, which says nothing: 'off' turns the cache off, 'on' leaves it on", SWITCH_VARIABLE, switch)


def _users_directory() -> str:
    """Return where this user's cache is, as each system has it. Raises OSError where nobody has a home."""
    if chosen := os.environ.get(DIRECTORY_VARIABLE):
        return chosen
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise FileNotFoundError("there is no home directory")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        return os.path.join(base, "ebpf", "cache")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "ebpf")
    # XDG Base Directory Specification: a relative path is to be ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.join(home, ".cache"), "ebpf")


def _exposed(status: os.stat_result, forbidden: int) -> str | None:
    """Return why others might have made a file or could change it, None if they can't.

    On Windows what is below the user's directory is the user's by inheritance, and there are no such modes.
    """
    if sys.platform == "win32":
        return None
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    return f"has mode {stat.S_IMODE(status.st_mode):o}" if status.st_mode & forbidden else None


def _read_own(path: str, limit: int, forbidden: int = 0o022) -> bytes:
    """Return a regular file of this user's. Raises OSError for a link, another user's file or one over the limit."""
    # O_BINARY is Windows', where a link is not followed into another user's hands: making one needs privileges.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe that nobody writes to
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise OSError("it is no file, or too large")
        if (why := _exposed(status, forbidden)) is not None:
            raise PermissionError(f"it {why}")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _write_whole(path: str, content: bytes) -> None:
    """Make a file appear with all its content, readable by this user alone."""
    partial = f"{path}.{os.getpid()}.{os.urandom(4).hex()}{_PARTIAL}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(partial, flags, 0o600), "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        _remove(partial)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _read_secret(path: str, *, create: bool) -> bytes:
    """Return the directory's secret. Where two processes make one, the later stays; what the other seals is a miss."""
    with contextlib.suppress(FileNotFoundError):
        secret = _read_own(path, _SEAL, 0o077)
        if len(secret) == _SEAL:
            return secret
    if not create:
        raise FileNotFoundError(f"{path} is missing")
    _write_whole(path, os.urandom(_SEAL))
    return _read_own(path, _SEAL, 0o077)


def _trim(directory: str, limit: int) -> None:
    """Remove the oldest entries until a quarter of the limit is free, and what was never completed."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(_ENTRY):
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
                elif entry.name.endswith(_PARTIAL) and status.st_mtime < time.time() - _ABANDONED:
                    os.unlink(entry.path)
    total = sum(size for _, size, _ in found)
    if total <= limit:
        return
    for _, size, path in sorted(found):
        if total <= limit * 3 // 4:
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        total -= size
