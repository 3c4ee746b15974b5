"""Errno → exception."""

from __future__ import annotations

import pickle

import pytest

from ebpf.abi.linux import (
    E2BIG,
    EACCES,
    EEXIST,
    EINVAL,
    ENOENT,
    ENOSPC,
    ENOTSUPP,
    EPERM,
)
from ebpf.abi.types import Cmd
from ebpf.errors import KeyExistsError, KeyNotFoundError, MapFullError, MissingPrivilegeError, SystemCallError
from ebpf.runtime.errors import Privilege, system_call_error


@pytest.mark.parametrize(
    ("cmd", "errno", "kind"),
    [
        (Cmd.MAP_LOOKUP_ELEM, ENOENT, KeyNotFoundError),
        (Cmd.MAP_DELETE_BATCH, ENOENT, KeyNotFoundError),
        (Cmd.MAP_GET_NEXT_KEY, ENOENT, KeyNotFoundError),
        (Cmd.OBJ_GET, ENOENT, SystemCallError),
        (Cmd.PROG_GET_NEXT_ID, ENOENT, SystemCallError),
        (Cmd.MAP_UPDATE_ELEM, EEXIST, KeyExistsError),
        (Cmd.OBJ_PIN, EEXIST, SystemCallError),
        (Cmd.MAP_UPDATE_ELEM, E2BIG, MapFullError),
        (Cmd.MAP_UPDATE_ELEM, ENOSPC, MapFullError),
        (Cmd.MAP_CREATE, E2BIG, SystemCallError),
        (Cmd.PROG_LOAD, EPERM, MissingPrivilegeError),
        (Cmd.PROG_LOAD, EACCES, SystemCallError),  # the verifier's
        (Cmd.MAP_UPDATE_ELEM, EPERM, SystemCallError),  # a frozen map
        (Cmd.OBJ_GET, EACCES, MissingPrivilegeError),
        ("perf_event_open", EACCES, MissingPrivilegeError),
    ],
)
def test_the_class_follows_from_call_and_errno(cmd: Cmd | str, errno: int, kind: type[SystemCallError]) -> None:
    assert type(system_call_error(cmd, errno)) is kind


def test_the_facts_are_attributes() -> None:
    error = system_call_error(Cmd.MAP_CREATE, EINVAL)
    assert (error.cmd, error.errno, error.errno_name, error.platform) == ("MAP_CREATE", 22, "EINVAL", "linux")
    assert error.linux_errno == 22
    assert str(error) == "MAP_CREATE failed with EINVAL: invalid argument"


def test_the_kernel_s_private_errno_has_a_name() -> None:
    assert system_call_error(Cmd.MAP_LOOKUP_BATCH, ENOTSUPP).errno_name == "ENOTSUPP"


def test_an_errno_of_another_platform_keeps_both_numbers() -> None:
    error = system_call_error(Cmd.MAP_LOOKUP_ELEM, 7, platform="windows", linux_errno=ENOENT, result=7)
    assert isinstance(error, KeyNotFoundError)
    assert (error.errno, error.linux_errno, error.result) == (7, ENOENT, 7)


def test_a_privilege_ends_the_message_and_survives_pickling() -> None:
    privilege = Privilege("run as root", capability="CAP_BPF", sysctl="kernel.unprivileged_bpf_disabled=2")
    error = system_call_error(Cmd.MAP_CREATE, EPERM, privilege=privilege)
    assert str(error).endswith("; run as root")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert isinstance(one, MissingPrivilegeError)
        assert (one.capability, one.sysctl, one.errno) == (
            "CAP_BPF",
            "kernel.unprivileged_bpf_disabled=2",
            EPERM,
        )


def test_a_missing_key_reads_like_a_sentence() -> None:
    assert str(system_call_error(Cmd.MAP_LOOKUP_ELEM, ENOENT)) == (
        "MAP_LOOKUP_ELEM failed with ENOENT: the map has no such element"
    )
