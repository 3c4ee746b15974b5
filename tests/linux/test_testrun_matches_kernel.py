"""BPF_PROG_TEST_RUN: the kernel and the embedded one give the same verdict, packet, context, errno, helper results."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress

import pytest

import ebpf.runtime
from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.vm.engines import VARIABLE, choose_engine
from tests.conftest import ENGINES
from tests.testrun import plain, recorded, skb_bytes, skb_fields, skb_shape, text, xdp
from tests.testrun.case import Case, on

pytestmark = pytest.mark.skipif(
    not platform.release().startswith("6.18."), reason="needs Linux 6.18, whose behaviour the embedded kernel has"
)
KERNEL = ebpf.runtime.linux()
EMBEDDED = ebpf.runtime.embedded()


@pytest.fixture(scope="module")
def engines() -> list[str]:
    """The engines that there are here: each is compared with the same run in the kernel."""
    found = []
    for name in ENGINES:
        with suppress(NotSupportedError):
            found.append(choose_engine(name).name)
    return found


@pytest.fixture
def compare(engines: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], None]:
    def compare(case: Case) -> None:
        expected = on(KERNEL, case)
        for engine in engines:
            monkeypatch.setenv(VARIABLE, engine)
            assert on(EMBEDDED, case) == expected, engine

    return compare


@pytest.mark.parametrize("case", xdp.CASES, ids=str)
def test_xdp(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("case", skb_fields.CASES, ids=str)
def test_fields_of_socket_buffers(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("case", skb_bytes.CASES, ids=str)
def test_bytes_of_socket_buffers(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("case", skb_shape.CASES, ids=str)
def test_shape_of_socket_buffers(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("case", text.CASES, ids=str)
def test_text(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("case", text.REFUSED, ids=str)
def test_format_that_the_verifier_refuses(case: Case, engines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(KERNEL, case).at_load
    for engine in engines:
        monkeypatch.setenv(VARIABLE, engine)
        with pytest.raises(ProgramFault, match="invalid format"):
            on(EMBEDDED, case)


@pytest.mark.parametrize("case", plain.CASES, ids=str)
def test_without_packet(case: Case, compare: Callable[[Case], None]) -> None:
    compare(case)


@pytest.mark.parametrize("subject", recorded.CASES)
def test_record_is_what_this_kernel_says(subject: str) -> None:
    found = [recorded.digest(on(KERNEL, case)) for case in recorded.CASES[subject]]
    assert found == recorded.load()[subject]
