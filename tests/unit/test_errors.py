"""Errors: the tree, their bases, pickling and messages."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from ebpf import errors
from ebpf.errors import (
    AsmError,
    EbpfError,
    ElfError,
    KeyNotFoundError,
    MissingPrivilegeError,
    NotSupportedError,
    ProgramFault,
    SystemCallError,
    VerifierError,
)

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, EbpfError)]

SAMPLES: list[EbpfError] = [
    NotSupportedError("netkit", runtime="linux", since="Linux 6.7", alternative="use veth"),
    ElfError("it ends early", path="a.o", section=".maps", offset=16),
    AsmError("expected a register, got 'rx'", line=2, column=7),
    SystemCallError("bpf(MAP_CREATE) failed", cmd="MAP_CREATE", errno=22, errno_name="EINVAL"),
    KeyNotFoundError("no such key", cmd="MAP_LOOKUP_ELEM", errno=2, errno_name="ENOENT"),
    MissingPrivilegeError("needs CAP_BPF", cmd="PROG_LOAD", errno=1, errno_name="EPERM", platform="linux"),
    VerifierError("refused", program="p", log="lines", summary="R1 is bad", insn=3, registers={"R1": "scalar()"}),
    ProgramFault("outside", kind="memory", insn=4, address=1 << 32, regions=["stack"]),
]


def test_the_tree_in_the_docstring_is_the_truth() -> None:
    drawn = re.findall(r"[├└]── (\w+)(?:\((\w+)\))?", errors.__doc__ or "")

    assert {name for name, _ in drawn} == {cls.__name__ for cls in CLASSES} - {"EbpfError"}
    for name, base in drawn:
        bases = {ancestor.__name__ for ancestor in getattr(errors, name).__mro__}
        assert not base or base in bases


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_their_facts(error: EbpfError) -> None:
    restored = pickle.loads(pickle.dumps(error))

    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert vars(restored) == vars(error)
    assert getattr(restored, "errno", None) == getattr(error, "errno", None)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_str_is_the_message(error: EbpfError) -> None:
    assert str(error) == error.message
    assert not str(error).startswith("'")


def test_object_errors_name_the_place() -> None:
    assert (
        str(ElfError("it ends early", path="a.o", section=".maps", offset=16))
        == "a.o, section .maps, offset 0x10: it ends early"
    )


def test_users_catch_the_builtins_they_know() -> None:
    missing = KeyNotFoundError("no such key", cmd="MAP_LOOKUP_ELEM", errno=2, errno_name="ENOENT")

    assert isinstance(missing, KeyError)
    assert isinstance(missing, OSError)
    assert missing.errno == 2
