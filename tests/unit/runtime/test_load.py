"""The log policy of a load, on a kernel that is played."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ebpf.abi.linux import EACCES, EINVAL, ENOSPC, EPERM
from ebpf.abi.types import Cmd
from ebpf.errors import MissingPrivilegeError, SystemCallError
from ebpf.runtime.attrs import ProgLoad
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.load import LOG_START, load_program, log_of, object_name


class Verifier:
    """A kernel whose verifier writes `log` and then gives `errno`; `tells_size` is Linux 6.4 and newer."""

    def __init__(self, log: bytes, errno: int, *, tells_size: bool = True) -> None:
        self.log, self.errno, self.tells_size = log, errno, tells_size
        self.sizes: list[int] = []

    def bpf(self, cmd: Cmd, attr: ProgLoad) -> int:
        assert cmd == Cmd.PROG_LOAD
        self.sizes.append(attr.log_size)
        if attr.log_buf is not None:
            self._write(attr)
        if attr.log_buf is not None and len(self.log) + 1 > attr.log_size:
            raise system_call_error(cmd, ENOSPC)
        if self.errno:
            raise system_call_error(cmd, self.errno)
        return 9

    def _write(self, attr: ProgLoad) -> None:
        assert isinstance(attr.log_buf, bytearray)
        part = self.log[: attr.log_size - 1]
        attr.log_buf[: len(part) + 1] = part + b"\0"
        attr.log_true_size = len(self.log) + 1 if self.tells_size else 0


def _load(kernel: Verifier, level: int = 0) -> tuple[int, ProgLoad]:
    attr = ProgLoad(prog_type=1)
    return load_program(kernel, attr, log_level=level), attr  # type: ignore[arg-type]  # only bpf() is asked for


def test_success_is_silent() -> None:
    kernel = Verifier(b"talk", 0)
    fd, attr = _load(kernel)
    assert (fd, kernel.sizes, log_of(attr)) == (9, [0], "")


def test_a_refusal_is_asked_for_its_reasons() -> None:
    kernel = Verifier(b"0: R3 !read_ok\n", EACCES)
    with pytest.raises(SystemCallError, match="EACCES") as caught:
        _load(kernel)
    assert kernel.sizes == [0, LOG_START]
    assert vars(caught.value)["log"] == "0: R3 !read_ok\n"


@pytest.mark.parametrize(
    ("tells_size", "sizes"),
    [
        (True, lambda length: [0, LOG_START, length + 1]),
        (False, lambda _: [0, LOG_START, LOG_START * 2, LOG_START * 4]),
    ],
)
def test_the_log_grows_at_once_or_by_doubling(tells_size: bool, sizes: Callable[[int], list[int]]) -> None:
    text = b"x" * (LOG_START * 3)
    kernel = Verifier(text, EINVAL, tells_size=tells_size)
    with pytest.raises(SystemCallError, match="EINVAL") as caught:
        _load(kernel)
    assert kernel.sizes == sizes(len(text))
    assert len(vars(caught.value)["log"]) == len(text)


def test_a_log_that_was_asked_for_grows_on_success_too() -> None:
    kernel = Verifier(b"y" * LOG_START, 0)
    fd, attr = _load(kernel, level=2)
    assert (fd, len(log_of(attr)), attr.log_level) == (9, LOG_START, 2)
    assert kernel.sizes == [LOG_START, LOG_START * 2]


def test_a_missing_privilege_is_not_asked_for_reasons() -> None:
    kernel = Verifier(b"", EPERM)
    with pytest.raises(MissingPrivilegeError) as caught:
        _load(kernel)
    assert kernel.sizes == [0]
    assert vars(caught.value)["log"] == ""


def test_no_space_without_a_log_is_not_about_the_log() -> None:
    kernel = Verifier(b"", ENOSPC)
    with pytest.raises(SystemCallError, match="ENOSPC"):
        _load(kernel)
    assert kernel.sizes == [0, LOG_START]


def test_a_log_without_end_gives_up() -> None:
    class Endless(Verifier):
        def bpf(self, cmd: Cmd, attr: ProgLoad) -> int:
            self.sizes.append(attr.log_size)
            if attr.log_buf is not None:
                memoryview(attr.log_buf)[:2] = b"a\0"  # type: ignore[index]  # a bytearray
            raise system_call_error(cmd, ENOSPC)

    kernel = Endless(b"", 0)
    import ebpf.runtime.load as load

    limit, load.LOG_LIMIT = load.LOG_LIMIT, LOG_START * 4
    try:
        with pytest.raises(SystemCallError, match="ENOSPC"):
            _load(kernel)
    finally:
        load.LOG_LIMIT = limit
    assert kernel.sizes == [0, LOG_START, LOG_START * 2, LOG_START * 4]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("simple", b"simple"),
        ("a_very_long_name_indeed", b"a_very_long_nam"),
        (".rodata.str-1", b".rodata.str_1"),
        ("größe 3", b"gr__e_3"),
        ("", b""),
    ],
)
def test_names_are_what_kernels_accept(text: str, name: bytes) -> None:
    assert object_name(text) == name
