"""A native image: the programs of an object, compiled ahead of time, in one file (docs/native-images.md).

    header | object | tables | code | signature

Numbers are little-endian. The object is the file that the programs come from, byte by byte: maps, variables and types
are read from it as from the file itself. Whoever reads an image trusts nothing in it before `NativeImage.parse` and
`check_signature` have returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from struct import Struct
from typing import BinaryIO, NoReturn

from ebpf.errors import ImageError
from ebpf.plain import NamedTuple

MAGIC = b"ebpf\0nat"
FORMAT = 2
MOST_BYTES = 1 << 28
"""The largest image: a header that says more is wrong, and is not followed."""
SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature; it is made over every byte before it."""
_HEADER = Struct("<8sII16s16s32s32s32sQQ32sQ32sQ32s32s")
_DIGEST_SIZE = 32
"""Bytes of the SHA-256 at the end of the header, of all before it."""
_COUNT = Struct("<I")
_PROGRAM = Struct("<HHII32s")
_MAP = Struct("<HIIIIIIQI")
_UNSIGNED = bytes(32)


@dataclass(frozen=True, slots=True)
class Interface:
    """What code counts on in the process that runs it.

    `target` is processor and calling convention (`codegen.compiler.GENERIC_TARGETS`), `abi` the version of
    support/machine.h, `structures` the hash of all that code knows of its structures. `calls` is how many functions of
    the support library the code knows of in `calls` of struct machine, `calls_digest` the hash of their names: that
    table grows at its end only.
    """

    target: str
    abi: int
    structures: bytes
    calls: int
    calls_digest: bytes


def digest_of_calls(entries: Sequence[str]) -> bytes:
    """Return the hash of a table of functions."""
    return hashlib.sha256("\0".join(entries).encode()).digest()


@dataclass(frozen=True, slots=True)
class NativeMap:
    """The shape of a map that a program uses: its code may count on each of these but the name. Sizes in bytes.

    `cpus` is the number of copies of a per-CPU value, 0 for other maps. `stride` and `shift` say how values lie in
    native storage and what their addresses are; both are 0 elsewhere.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    cpus: int
    stride: int
    shift: int


@dataclass(frozen=True, slots=True)
class NativeProgram:
    """A program's code, which begins at a page, and the offset in it where the host enters.

    `digest` is that of the program it was made from (`vm.program.digest_of`), `maps` are those it uses, in its order.
    """

    name: str
    digest: bytes
    entry: int
    code: bytes = field(repr=False)
    maps: tuple[NativeMap, ...] = ()


@dataclass(frozen=True, slots=True)
class NativeImage:
    """An image in memory. `version` is that of the library that made it; `signer` the public key, None: unsigned.

    Immutable, so that threads may share it. `name` stands for the path in errors.
    """

    interface: Interface
    version: str
    object: bytes = field(repr=False)
    programs: tuple[NativeProgram, ...]
    signer: bytes | None = None
    signature: bytes = field(default=b"", repr=False)
    name: str = "<bytes>"

    def signed_bytes(self) -> bytes:
        """Return what the signature is made over: the file without it."""
        interface = self.interface
        tables = _pack_tables(self.programs)
        code = b"".join(program.code for program in self.programs)
        header = _HEADER.pack(
            MAGIC,
            FORMAT,
            interface.abi,
            interface.target.encode(),
            self.version.encode(),
            interface.structures,
            interface.calls_digest,
            self.signer or _UNSIGNED,
            interface.calls,
            *(part for data in (self.object, tables, code) for part in (len(data), hashlib.sha256(data).digest())),
            b"",
        )
        return _with_digest(header) + self.object + tables + code

    def pack(self) -> bytes:
        """Return the file's bytes."""
        return self.signed_bytes() + self.signature

    @classmethod
    def parse(cls, data: bytes, *, name: str = "<bytes>") -> NativeImage:
        """Read an image; every length, count and hash in it is checked.

        Raises ImageError that says what is wrong. Who signed it, and whether it fits this process, is not looked at.
        """
        return _Parser(data, name).image()


def is_image(data: bytes) -> bool:
    """Say whether these are the first bytes of a native image."""
    return data.startswith(MAGIC)


def read_image(file: BinaryIO, *, name: str, head: bytes = b"") -> bytes:
    """Read the bytes of an image, as many as its header says; `head` are those that were read before.

    Raises ImageError for anything else, before more than a header is read: the file may be a device without an end.
    """
    header = head + file.read(_HEADER.size - len(head))
    parser = _Parser(header, name)
    size = parser.header().file_size
    data = header + file.read(size - len(header))
    if file.read(1):
        parser.refuse(f"it is longer than the {size} bytes that its header says")
    return data


def _with_digest(header: bytes) -> bytes:
    start = header[:-_DIGEST_SIZE]
    return start + hashlib.sha256(start).digest()


def _pack_tables(programs: Sequence[NativeProgram]) -> bytes:
    rows = [_COUNT.pack(len(programs))]
    for program in programs:
        name = program.name.encode()
        rows += [_PROGRAM.pack(len(name), len(program.maps), len(program.code), program.entry, program.digest), name]
        for map_ in program.maps:
            name = map_.name.encode()
            _, *shape = astuple(map_)
            rows += [_MAP.pack(len(name), *shape), name]
    return b"".join(rows)


class _Header(NamedTuple):
    """The header's members as they are in the file; sizes and digests are of object, program table and code."""

    abi: int
    target: bytes
    version: bytes
    structures: bytes
    calls_digest: bytes
    signer: bytes
    calls: int
    sizes: list[int]
    digests: list[bytes]

    @property
    def signature_size(self) -> int:
        return 0 if self.signer == _UNSIGNED else SIGNATURE_SIZE

    @property
    def file_size(self) -> int:
        """Bytes of the whole file: there is nothing between the parts."""
        return _HEADER.size + sum(self.sizes) + self.signature_size


class _Parser:
    """Reads one image from its beginning to its end."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name

    def refuse(self, reason: str) -> NoReturn:
        raise ImageError(f"{self._name}: {reason}")

    def header(self) -> _Header:
        """Read the header; the data may end behind it."""
        if not is_image(self._data):
            self.refuse("this is no native image; make one with `ebpf gen native`")
        if len(self._data) < _HEADER.size:
            self.refuse(f"the header is cut short: {len(self._data)} bytes of {_HEADER.size}")
        _, version, *members, _ = _HEADER.unpack_from(self._data)
        if version != FORMAT:
            self.refuse(f"it has format {version}, this version reads {FORMAT}; make it again with this version")
        packed = self._data[: _HEADER.size]
        if packed != _with_digest(packed):
            self.refuse("it is damaged: its header has another SHA-256 than it says")
        facts, parts = members[:-6], members[-6:]
        header = _Header._make([*facts, parts[::2], parts[1::2]])
        if header.file_size > MOST_BYTES:
            self.refuse(f"its header says {header.file_size} bytes, expected at most {MOST_BYTES}")
        return header

    def image(self) -> NativeImage:
        header = self.header()
        object_, tables, code = self._parts(header)
        return NativeImage(
            Interface(
                self._header_text(header.target, "target"),
                header.abi,
                header.structures,
                header.calls,
                header.calls_digest,
            ),
            self._header_text(header.version, "version"),
            object_,
            tuple(_Tables(self, tables).programs(code)),
            header.signer if header.signature_size else None,
            self._data[header.file_size - header.signature_size :],
            self._name,
        )

    def _parts(self, header: _Header) -> list[bytes]:
        """Cut the parts out; together with header and signature they are the whole file."""
        if header.file_size != len(self._data):
            self.refuse(f"it has {len(self._data)} bytes, its header says {header.file_size}")
        found, at = [], _HEADER.size
        for what, size, digest in zip(("object", "program table", "code"), header.sizes, header.digests, strict=True):
            part = self._data[at : at + size]
            if hashlib.sha256(part).digest() != digest:
                self.refuse(f"it is damaged: its {what} has another SHA-256 than the header says")
            found.append(part)
            at += size
        return found

    def _header_text(self, data: bytes, what: str) -> str:
        return self.text(data.rstrip(b"\0"), f"the {what} in the header")

    def text(self, data: bytes, what: str) -> str:
        """Return printable text: names go to terminals."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.refuse(f"{what} is no text in UTF-8")
        if not text or not text.isprintable():
            self.refuse(f"{what} is empty or not printable")
        return text


class _Tables:
    """Reads the table of programs, one member after the other."""

    def __init__(self, parser: _Parser, data: bytes) -> None:
        self._parser = parser
        self._data = data
        self._at = 0

    def programs(self, code: bytes) -> list[NativeProgram]:
        """Return the programs, each with its share of the code."""
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        found, at = [], 0
        for _ in range(count):
            program = self._program(code, at)
            at += len(program.code)
            found.append(program)
        if self._at != len(self._data) or at != len(code):
            self._parser.refuse("there is something behind the last program")
        if len({program.name for program in found}) != len(found):
            self._parser.refuse("two programs have one name")
        return found

    def _program(self, code: bytes, at: int) -> NativeProgram:
        name_size, maps, size, entry, digest = _PROGRAM.unpack(self._take(_PROGRAM.size))
        name = self._name(name_size)
        if entry >= size or size > len(code) - at:
            self._parser.refuse(f"program {name} begins or ends outside of the code")
        return NativeProgram(name, digest, entry, code[at : at + size], tuple(self._map() for _ in range(maps)))

    def _map(self) -> NativeMap:
        name_size, *shape = _MAP.unpack(self._take(_MAP.size))
        return NativeMap(self._name(name_size), *shape)

    def _name(self, size: int) -> str:
        return self._parser.text(self._take(size), "a name in the tables")

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            self._parser.refuse("the tables are cut short")
        self._at += size
        return self._data[self._at - size : self._at]
