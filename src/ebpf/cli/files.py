"""Files that commands read and write: inputs are read once, outputs are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from errno import EACCES
from pathlib import Path
from typing import BinaryIO

import click

from ebpf.codegen.native import MAGIC, MOST_BYTES, is_image, read_image
from ebpf.errors import ObjectFileError

_ELF_MAGIC = b"\x7fELF"
_CHUNK = 1 << 20


def read_object_or_image(path: Path) -> bytes:
    """Read a file that may be a pipe, or a device without an end.

    Of what begins as neither, only the first bytes are returned: they are enough to say what it is not.
    """
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        if is_image(head):
            return read_image(file, name=str(path), head=head)
        return head + _read_rest(file, path) if head.startswith(_ELF_MAGIC) else head


def _read_rest(file: BinaryIO, path: Path) -> bytes:
    chunks, size = [], 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST_BYTES:
            raise ObjectFileError(f"it has more than {MOST_BYTES} bytes, which no object file has", path=str(path))
    return b"".join(chunks)


def refuse_to_overwrite(output: Path, inputs: Mapping[str, Path | None], *, option: str = "-o") -> None:
    """Raise UsageError where the output is one of the files that are read; `inputs` says what each one is.

    A device or a pipe keeps nothing that could be lost: it may be both.
    """
    for what, path in inputs.items():
        with suppress(OSError):  # there is nothing yet that could be overwritten
            if path is not None and path.samefile(output) and path.is_file():
                raise click.UsageError(f"{option} {output} would overwrite {what}: name another file")


def refuse_standard_output(output: Path, *, option: str = "-o") -> None:
    """Raise UsageError for "-": what the command prints is there, and a file of that name nobody means."""
    if str(output) == "-":
        raise click.UsageError(f"{option} -: standard output has what the command prints: name a file")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, or leave the one that was there: the new one takes its place once all of it is written.

    Raises OSError that names the file.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or a pipe: nothing can take its place
        else:
            _replace(path.resolve(), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES))
    beside = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
        if path.exists():
            beside.chmod(path.stat().st_mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
