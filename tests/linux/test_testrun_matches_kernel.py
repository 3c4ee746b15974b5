"""BPF_PROG_TEST_RUN: the kernel and the embedded one give the same verdict, packet, context, errno, helper results."""

from __future__ import annotations

import platform

import pytest

import ebpf.runtime
from ebpf.errors import ProgramFault
from tests.testrun import plain, recorded, skb_bytes, skb_fields, skb_shape, text, xdp
from tests.testrun.case import Case, on

pytestmark = [
    pytest.mark.skipif(
        not platform.release().startswith("6.18."), reason="needs Linux 6.18, whose behaviour the embedded kernel has"
    ),
    pytest.mark.usefixtures("engine"),
]
KERNEL = ebpf.runtime.linux()
EMBEDDED = ebpf.runtime.embedded()


@pytest.mark.parametrize("case", xdp.CASES, ids=str)
def test_xdp(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("case", skb_fields.CASES, ids=str)
def test_fields_of_socket_buffers(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("case", skb_bytes.CASES, ids=str)
def test_bytes_of_socket_buffers(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("case", skb_shape.CASES, ids=str)
def test_shape_of_socket_buffers(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("case", text.CASES, ids=str)
def test_text(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("case", text.REFUSED, ids=str)
def test_format_that_the_verifier_refuses(case: Case) -> None:
    assert on(KERNEL, case).at_load
    with pytest.raises(ProgramFault, match="invalid format"):
        on(EMBEDDED, case)


@pytest.mark.parametrize("case", plain.CASES, ids=str)
def test_without_packet(case: Case) -> None:
    assert on(EMBEDDED, case) == on(KERNEL, case)


@pytest.mark.parametrize("subject", recorded.CASES)
def test_record_is_what_this_kernel_says(subject: str) -> None:
    found = [recorded.digest(on(KERNEL, case)) for case in recorded.CASES[subject]]
    assert found == recorded.load()[subject]
