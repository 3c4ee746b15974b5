"""BPF_PROG_TEST_RUN: the kernel and the embedded one give the same verdict, packet, context, errno, helper results."""

from __future__ import annotations

import pytest

import ebpf.runtime
from ebpf.errors import ProgramFault
from tests.testrun import plain, skb_bytes, skb_fields, skb_shape, text, xdp
from tests.testrun.case import Case, on

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
