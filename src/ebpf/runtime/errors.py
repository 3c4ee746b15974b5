"""Errno of a refused call → exception: one place for every runtime."""

from __future__ import annotations

from ebpf.abi.linux import E2BIG, EACCES, EEXIST, ENOENT, ENOSPC, EPERM
from ebpf.abi.linux.errtexts import NAMES, TEXTS
from ebpf.abi.types import Cmd
from ebpf.abi.types.commands import command_name
from ebpf.errors import KeyExistsError, KeyNotFoundError, MapFullError, MissingPrivilegeError, SystemCallError
from ebpf.plain import NamedTuple

_UPDATES = frozenset({Cmd.MAP_UPDATE_ELEM, Cmd.MAP_UPDATE_BATCH})
_KEYED = _UPDATES | {
    Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_DELETE_ELEM, Cmd.MAP_GET_NEXT_KEY, Cmd.MAP_LOOKUP_AND_DELETE_ELEM,
    Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_LOOKUP_AND_DELETE_BATCH, Cmd.MAP_DELETE_BATCH,
}  # fmt: skip

_KEY_TEXTS: dict[type[SystemCallError], str] = {
    KeyNotFoundError: "the map has no such element",
    KeyExistsError: "the map has this key already",
    MapFullError: "the map has no room for this key",
}


class Privilege(NamedTuple):
    """What a process lacks for a call; `remedy` is the phrase that says how to get it."""

    remedy: str
    capability: str | None = None
    sysctl: str | None = None
    lockdown: str | None = None
    elevation: str | None = None


def system_call_error(
    cmd: int | str,
    errno: int,
    *,
    platform: str = "linux",
    message: str | None = None,
    privilege: Privilege | None = None,
    result: int | None = None,
    linux_errno: int | None = None,
) -> SystemCallError:
    """Return the exception for a refused call.

    `message` says what was being done or why it failed, in place of the errno's own text, except where the class of
    the exception says it all. EPERM means a missing
    privilege except of element commands, where it says that the map is frozen or was opened for one direction only;
    EACCES of PROG_LOAD is the verifier's. `privilege` gives the facts.
    """
    name = command_name(cmd)
    number = errno if linux_errno is None else linux_errno
    errno_name = NAMES.get(number, f"errno {number}")
    kind = _class_of(cmd, number)
    reason = _KEY_TEXTS.get(kind) or message or TEXTS.get(number, "unknown error")
    text = f"{name} failed with {errno_name}: {reason}"
    if privilege is not None:
        text += f"; {privilege.remedy}"
    error = kind(
        text, cmd=name, errno=errno, errno_name=errno_name, platform=platform, result=result, linux_errno=number
    )
    if isinstance(error, MissingPrivilegeError) and privilege is not None:
        error.capability, error.sysctl = privilege.capability, privilege.sysctl
        error.lockdown, error.elevation = privilege.lockdown, privilege.elevation
    return error


def is_privilege_errno(cmd: int | str, errno: int) -> bool:
    """Say whether this errno of this call means that a privilege is missing."""
    if cmd in _KEYED:
        return False
    return errno == EPERM or (errno == EACCES and cmd != Cmd.PROG_LOAD)


def _class_of(cmd: int | str, errno: int) -> type[SystemCallError]:
    if cmd in _KEYED and errno == ENOENT:
        return KeyNotFoundError
    if cmd in _UPDATES and errno == EEXIST:
        return KeyExistsError
    # A full LPM trie answers with ENOSPC, every other map with E2BIG.
    if cmd in _UPDATES and errno in (E2BIG, ENOSPC):
        return MapFullError
    return MissingPrivilegeError if is_privilege_errno(cmd, errno) else SystemCallError
