"""BTF against this machine: the kernel's own types, what BTF_LOAD accepts, what bpftool prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ebpf import runtime
from ebpf.abi.types import Cmd
from ebpf.btf import (
    Btf,
    Codec,
    Enum64,
    Struct,
    Union,
    bit_span,
    format_definition,
    format_header,
    format_raw,
    size_of,
)
from ebpf.runtime import attrs
from tests.unit.btf.samples import every_kind

VMLINUX = Path("/sys/kernel/btf/vmlinux")
CLANG = shutil.which("clang-19") or shutil.which("clang")
BPFTOOL = shutil.which("bpftool")


@pytest.fixture(scope="module")
def raw() -> bytes:
    if not os.access(VMLINUX, os.R_OK):
        pytest.skip(f"{VMLINUX} is not readable: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
    return VMLINUX.read_bytes()


@pytest.fixture(scope="module")
def vmlinux(raw: bytes) -> Btf:
    return Btf.parse(raw)


def test_opening_decodes_nothing(raw: bytes) -> None:
    begin = time.process_time()
    btf = Btf.parse(raw)
    # About 20 ms here; a decoder that makes every type takes more than ten times that.
    assert time.process_time() - begin < 0.5
    assert btf._types == {}
    assert len(btf) > 10_000


def test_the_kernels_types_in_both_byte_orders(vmlinux: Btf) -> None:
    turned = Btf.parse(vmlinux.encode("big"))
    assert turned.encode("little") == vmlinux.raw
    assert [type_.name for type_ in turned] == [type_.name for type_ in vmlinux]


def test_every_struct_of_the_kernel_has_a_codec_that_loses_nothing(vmlinux: Btf) -> None:
    random = os.urandom(1 << 16)
    checked = 0
    for type_ in vmlinux:
        if isinstance(type_, (Struct, Union)) and size_of(type_) < len(random) and type_.id % 20 == 0:
            codec = Codec(type_)
            clean = codec.encode(codec.decode(random[: codec.size]))
            assert codec.encode(codec.decode(clean)) == clean
            checked += 1
    assert checked > 100


@pytest.mark.skipif(BPFTOOL is None, reason="bpftool is not installed")
def test_raw_lines_are_bpftools(vmlinux: Btf) -> None:
    assert BPFTOOL is not None
    done = subprocess.run([BPFTOOL, "btf", "dump", "file", str(VMLINUX)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = done.stdout.replace(", linkage", " linkage").splitlines()
    ours = [line for type_ in vmlinux for line in _lines(type_)]
    assert len(ours) == len(theirs)
    assert [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]] == []


def _lines(type_: object) -> list[str]:
    """bpftool marks the values of 64-bit enumerations as C constants."""
    lines = format_raw(type_).splitlines()  # type: ignore[arg-type]
    if not isinstance(type_, Enum64):
        return lines
    return lines[:1] + [f"{line}{'LL' if type_.signed else 'ULL'}" for line in lines[1:]]


@pytest.mark.skipif(BPFTOOL is None, reason="bpftool is not installed")
@pytest.mark.parametrize(
    "name", ["list_head", "iphdr", "sock_common", "file_operations", "bpf_prog", "xdp_md", "tcphdr"]
)
def test_definitions_are_bpftools(vmlinux: Btf, name: str) -> None:
    assert BPFTOOL is not None
    type_ = vmlinux.find(name, Struct)
    if type_ is None:
        pytest.skip(f"this kernel has no struct {name}")
    done = subprocess.run([BPFTOOL, "btf", "dump", "file", str(VMLINUX), "format", "c"], capture_output=True, text=True)
    text = done.stdout[done.stdout.index(f"\nstruct {name} {{") :]
    theirs = text[: text.index("\n};") + 3]
    assert "".join(format_definition(type_).split()) == "".join(theirs.split())


@pytest.mark.skipif(CLANG is None, reason="clang is not installed")
def test_clang_lays_the_kernels_types_out_as_btf_says(vmlinux: Btf, tmp_path: Path) -> None:
    source = tmp_path / "vmlinux.c"
    claims = []
    for type_ in vmlinux:
        # clang's own va_list is smaller on bpf than that of the kernel's machine.
        if not isinstance(type_, (Struct, Union)) or not type_.name or type_.name in ("warn_args", "va_format"):
            continue
        if len(vmlinux.find_all(type_.name)) > 1:
            continue
        word = f"{type_.kind.name.lower()} {type_.name}"
        claims.append(f'_Static_assert(sizeof({word}) == {type_.size}, "{word}");')
        claims += [
            f'_Static_assert(__builtin_offsetof({word}, {m.name}) == {m.offset}, "{word}.{m.name}");'
            for m in type_.members
            if m.name and not bit_span(m)[1]
        ]
    source.write_text(format_header(vmlinux) + "\n".join(claims))
    assert CLANG is not None
    done = subprocess.run([CLANG, "-target", "bpf", "-w", "-fsyntax-only", str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    assert len(claims) > 10_000


def test_the_kernel_accepts_every_kind() -> None:
    kernel = runtime.linux()
    raw = every_kind().raw
    handle = kernel.own(kernel.bpf(Cmd.BTF_LOAD, attrs.BtfLoad(btf=raw, btf_size=len(raw))))
    handle.close()
