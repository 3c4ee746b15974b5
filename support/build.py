"""Builds the images in src/ebpf/codegen/images: `make support`, or `python support/build.py [--check]`.

clang makes an ELF object for each target; its code and constants are laid out as one flat blob, in which every
relocation is resolved here, so that loading it is a copy. An image depends on clang's version and on nothing else of
the machine that builds it; `--check` builds without writing and fails where a committed image differs.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from ebpf.codegen.header import ALIGNMENT, Header

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "src" / "ebpf" / "codegen" / "images"
CLANG = "clang-19"
VERSION = "19.1."
"""What `clang-19 --version` has to name; another one makes other code."""
FLAGS = (
    "-std=c11", "-O2", "-fPIC", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-exceptions",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-ident", "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
LIMIT = 50_000
"""Bytes that an image may have."""
ENTRIES = ("ebpf_decode", "ebpf_run")


@dataclass(frozen=True)
class Target:
    """A processor and a calling convention. The object is ELF for all of them."""

    name: str
    flags: tuple[str, ...]


TARGETS = (
    Target("x86_64-sysv", ("--target=x86_64-linux-gnu", "-march=x86-64", "-mtune=generic", "-mcmodel=small")),
    Target(
        "x86_64-win64",
        ("--target=x86_64-linux-gnu", "-march=x86-64", "-mtune=generic", "-mcmodel=small", "-mno-red-zone",
         "-DENTRY=__attribute__((ms_abi))"),
    ),
    Target("aarch64", ("--target=aarch64-linux-gnu", "-march=armv8-a", "-mno-outline-atomics", "-ffixed-x18")),
)  # fmt: skip


class LinkError(Exception):
    """The object has something that a flat image can't have."""


def compile_object(target: Target, directory: Path) -> Path:
    """Compile the support library; return the object's path."""
    output = directory / f"{target.name}.o"
    # Relative names and a fixed directory: no path of this machine gets into the object.
    subprocess.run([CLANG, *FLAGS, *target.flags, "-c", "image.c", "-o", str(output)], cwd=HERE, check=True)
    return output


def link(path: Path) -> tuple[bytes, dict[str, int]]:
    """Lay out code and constants; return them and the offsets of the global symbols."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        blob, places = _lay_out(elf)
        symbols: Any = elf.get_section_by_name(".symtab")
        sections: Iterator[Any] = elf.iter_sections()
        for section in sections:
            if section["sh_type"] == "SHT_RELA" and section["sh_info"] in places:
                for relocation in section.iter_relocations():
                    symbol = symbols.get_symbol(relocation["r_info_sym"])
                    target = symbol["st_shndx"]
                    if target not in places:
                        raise LinkError(f"{symbol.name or target} is not defined")
                    here = places[section["sh_info"]] + relocation["r_offset"]
                    there = places[target] + symbol["st_value"] + relocation["r_addend"]
                    _relocate(blob, elf["e_machine"], relocation["r_info_type"], here, there)
        defined = {
            symbol.name: places[symbol["st_shndx"]] + symbol["st_value"]
            for symbol in symbols.iter_symbols()
            if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] in places
        }
    return bytes(blob), defined


def _lay_out(elf: ELFFile) -> tuple[bytearray, dict[int, int]]:
    """Join the sections that are loaded, code first; return them and where each one begins."""
    alloc, write = 2, 1
    loaded = []
    for index, section in enumerate(elf.iter_sections()):
        if not section["sh_flags"] & alloc or not section["sh_size"]:
            continue
        if section["sh_flags"] & write or section["sh_type"] != "SHT_PROGBITS":
            raise LinkError(f"section {section.name} is writable or has no contents")
        loaded.append((not section.name.startswith(".text"), index, section))
    blob, places = bytearray(), {}
    for _, index, section in sorted(loaded, key=lambda entry: entry[:2]):
        blob += bytes(-len(blob) % max(section["sh_addralign"], 1))
        places[index] = len(blob)
        blob += section.data()
    return blob, places


def _relocate(blob: bytearray, machine: str, kind: int, here: int, there: int) -> None:
    """Resolve one relocation (x86-64 psABI, table 4.9; ELF for the Arm 64-bit Architecture, section 5.7)."""
    if (machine == "EM_X86_64" and kind in (2, 4)) or (machine == "EM_AARCH64" and kind == 261):  # PC32, PLT32
        struct.pack_into("<i", blob, here, there - here)
    elif machine == "EM_AARCH64" and kind in _AARCH64:
        (word,) = struct.unpack_from("<I", blob, here)
        struct.pack_into("<I", blob, here, word | _AARCH64[kind](here, there))
    else:
        raise LinkError(f"relocation {kind} of {machine} is not relative to the code")


def _low_bits(scale: int) -> Any:
    return lambda here, there: (there & 0xFFF) >> scale << 10


def _page(here: int, there: int) -> int:
    pages = (there >> 12) - (here >> 12)
    return (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5


def _near(here: int, there: int) -> int:
    distance = there - here
    return (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5


_AARCH64 = {
    274: _near,  # ADR_PREL_LO21
    275: _page,  # ADR_PREL_PG_HI21: the blob begins at a page
    277: _low_bits(0),  # ADD_ABS_LO12_NC
    278: _low_bits(0),  # LDST8_ABS_LO12_NC
    282: lambda here, there: there - here >> 2 & 0x3FFFFFF,  # JUMP26
    283: lambda here, there: there - here >> 2 & 0x3FFFFFF,  # CALL26
    284: _low_bits(1),  # LDST16_ABS_LO12_NC
    285: _low_bits(2),  # LDST32_ABS_LO12_NC
    286: _low_bits(3),  # LDST64_ABS_LO12_NC
    299: _low_bits(4),  # LDST128_ABS_LO12_NC
}


def build(target: Target) -> bytes:
    """Return the image of a target."""
    with tempfile.TemporaryDirectory() as directory:
        code, symbols = link(compile_object(target, Path(directory)))
    code += bytes(-len(code) % ALIGNMENT)
    layout = struct.unpack_from("<8I", code, symbols["ebpf_layout"])
    decode, run = (symbols[name] for name in ENTRIES)
    header = Header(target.name, layout, decode, run, len(code), hashlib.sha256(code).digest())
    image = header.pack() + code
    if len(image) > LIMIT:
        raise LinkError(f"the image of {target.name} has {len(image)} bytes, more than {LIMIT}")
    return image


def compiler_version() -> str:
    """Return the version of the compiler, "" where there is none."""
    try:
        output = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        return ""
    return output.partition("version ")[2].split()[0]


def main() -> int:
    """Build all images, or compare them."""
    parser = argparse.ArgumentParser(description="Build the native images of the support library.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where an image differs")
    check = parser.parse_args().check
    version = compiler_version()
    if not version.startswith(VERSION):
        print(f"{CLANG} {VERSION}x is needed, found {version or 'none'}", file=sys.stderr)
        return 1
    differ = 0
    for target in TARGETS:
        image, path = build(target), IMAGES / f"interp-{target.name}.bin"
        same = path.exists() and path.read_bytes() == image
        differ += not same
        if not check:
            path.write_bytes(image)
        print(f"{path.name}: {len(image)} bytes, {'unchanged' if same else 'differs' if check else 'written'}")
    return 1 if check and differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
