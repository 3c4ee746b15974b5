"""What "auto" means, and why."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ebpf.abi.linux import EINVAL, EPERM
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.asm import Insn, Instructions
from ebpf.errors import MissingPrivilegeError, NotSupportedError
from ebpf.runtime import choose, current, embedded, linux, select
from ebpf.runtime.attrs import MapCreate, ProgLoad
from ebpf.runtime.errors import Privilege, system_call_error
from ebpf.spec import CollectionSpec, ProgramSpec

_PRIVILEGE = Privilege("run as root", capability="CAP_BPF")


class Kernel:
    """A kernel that refuses some types of program."""

    name = "linux"

    def __init__(self, *, refused: dict[Any, int], calls: list[Cmd] | None = None) -> None:
        self.refused = refused
        self.reason = "asked for"
        self.closed = 0
        self.calls: list[Cmd] = [] if calls is None else calls

    def bpf(self, cmd: Cmd, attr: object) -> int:
        self.calls.append(cmd)
        what = attr.prog_type if isinstance(attr, ProgLoad) else None
        assert isinstance(attr, ProgLoad | MapCreate)
        if what in self.refused:
            errno = self.refused[what]
            raise system_call_error(cmd, errno, privilege=_PRIVILEGE if errno == EPERM else None)
        return 3

    def own(self, fd: int) -> Kernel:
        return self

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EBPF_RUNTIME", raising=False)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play a machine: its system, and what its kernel refuses."""
    import sys

    import ebpf.runtime.current  # `ebpf.runtime.current` is a function

    modules = ebpf.runtime, sys.modules["ebpf.runtime.current"]

    def play(system: str = "linux", **refused: int) -> Kernel:
        kernel = Kernel(
            refused={None if name == "maps" else ProgramType[name]: errno for name, errno in refused.items()}
        )
        monkeypatch.setattr("sys.platform", system)
        for module in modules:
            monkeypatch.setattr(module, "linux_kernel", lambda reason: kernel)
        return kernel

    return play


def _spec(*types: ProgramType, autoload: bool = True) -> CollectionSpec:
    insns = Instructions([Insn(0xB7), Insn(0x95)])
    programs = {
        f"prog_{number}": ProgramSpec(f"prog_{number}", type_, insns, license="GPL", autoload=autoload)
        for number, type_ in enumerate(types)
    }
    return CollectionSpec(programs=programs)


def test_the_kernel_where_everything_loads(platform: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ebpf")
    kernel = platform()
    choice = choose(_spec(ProgramType.XDP, ProgramType.XDP, ProgramType.KPROBE))
    assert choice.runtime is kernel
    assert choice.reason == "this user may load every program in the Linux kernel"
    # One map, each type once, all closed again.
    assert kernel.calls == [Cmd.MAP_CREATE, Cmd.PROG_LOAD, Cmd.PROG_LOAD]
    assert kernel.closed == 3
    assert caplog.messages[-1] == f"runtime linux: {choice.reason}"


def test_the_embedded_kernel_where_privileges_are_missing(platform: Any) -> None:
    platform(XDP=EPERM)
    choice = choose(_spec(ProgramType.XDP))
    assert choice.runtime.name == "embedded"
    assert "PROG_LOAD failed with EPERM" in choice.reason
    assert choice.runtime.reason == choice.reason
    assert choose(_spec(ProgramType.XDP)).runtime is choice.runtime


def test_no_privilege_for_maps_is_enough(platform: Any) -> None:
    platform(maps=EPERM)
    assert choose().runtime.name == "embedded"
    assert current() is choose().runtime


def test_another_system_has_the_embedded_kernel(platform: Any) -> None:
    platform("darwin")
    choice = choose(_spec(ProgramType.SCHED_CLS))
    assert choice.runtime.name == "embedded"
    assert "bpf() is not supported on the darwin runtime" in choice.reason


def test_what_only_a_privileged_kernel_loads_is_refused_by_name(platform: Any) -> None:
    platform(KPROBE=EPERM)
    with pytest.raises(MissingPrivilegeError) as caught:
        choose(_spec(ProgramType.XDP, ProgramType.KPROBE))
    text = str(caught.value)
    assert text.startswith("load program prog_1 nowhere: PROG_LOAD failed with EPERM")
    assert "the embedded kernel has no programs of type Kprobe" in text
    assert caught.value.capability == "CAP_BPF"


def test_elsewhere_a_privilege_would_not_help(platform: Any) -> None:
    platform("win32")
    with pytest.raises(NotSupportedError, match="program type Kprobe of prog_0 is not supported"):
        choose(_spec(ProgramType.KPROBE))


def test_programs_that_are_not_loaded_do_not_count(platform: Any) -> None:
    kernel = platform(KPROBE=EPERM)
    assert choose(_spec(ProgramType.KPROBE, autoload=False)).runtime is kernel


def test_other_refusals_are_left_to_the_load(platform: Any) -> None:
    kernel = platform(TRACING=EINVAL, XDP=EINVAL)
    assert choose(_spec(ProgramType.TRACING, ProgramType.XDP)).runtime is kernel


def test_a_windows_program_is_not_for_linux(platform: Any) -> None:
    kernel = platform()
    with pytest.raises(NotSupportedError, match="WINDOWS_BIND"):
        choose(_spec(ProgramType.WINDOWS_BIND))
    assert kernel.calls == []


def test_the_environment_comes_first(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = platform()
    monkeypatch.setenv("EBPF_RUNTIME", "embedded")
    choice = choose(_spec(ProgramType.KPROBE))
    assert (choice.runtime.name, choice.reason) == ("embedded", "the environment variable EBPF_RUNTIME is embedded")
    assert choice.runtime.reason == choice.reason
    monkeypatch.setenv("EBPF_RUNTIME", "linux")
    assert choose().runtime is kernel
    for name in ("auto", ""):
        monkeypatch.setenv("EBPF_RUNTIME", name)
        assert choose().runtime is kernel
    monkeypatch.setenv("EBPF_RUNTIME", "lunix")
    with pytest.raises(ValueError, match="EBPF_RUNTIME is 'lunix'; expected auto, linux or embedded"):
        choose()


def test_select_turns_names_into_runtimes() -> None:
    mine = embedded()
    assert select(mine) is mine
    assert select("linux") is linux()
    assert select("embedded") is select("embedded")
    assert select("embedded") is not mine
    with pytest.raises(ValueError, match="unknown"):
        select("solaris")
    nothing: Any = None
    with pytest.raises(TypeError, match="runtime is auto, linux, embedded or a Runtime, got NoneType"):
        select(nothing)
    mine.close()


def test_each_embedded_kernel_is_its_own() -> None:
    one, two = embedded(cpus=2), embedded()
    one.bpf(Cmd.MAP_CREATE, MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1))
    assert (one.cpus, two.cpus) == (2, 1)
    assert one is not two
    one.close()
    two.close()
