"""Builds src/ebpf/codegen/images: `make support`, or `python support/build.py [--check]`.

clang makes an ELF object for each target, which becomes one flat blob (ebpf.codegen.flat): the image. What compiled
programs take into themselves becomes bitcode, which is for no target in particular. Both depend on clang's version and
on nothing else of the machine that builds them; `--check` builds without writing and fails where a committed file
differs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile

from ebpf.codegen.flat import LinkError, link
from ebpf.codegen.image import ALIGNMENT, ENTRIES, Header, checksum

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "src" / "ebpf" / "codegen" / "images"
CLANG, ASSEMBLER = "clang-19", "llvm-as-19"
VERSION = "19.1."
"""What `clang-19 --version` has to name; another one makes other code."""
FLAGS = (
    "-std=c11", "-O2", "-fPIC", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-exceptions",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-ident", "-Wall", "-Wextra", "-Werror",
    # Each operation of the interpreter has its own jump to the next. Of many clang 19 makes one, unless it is told.
    "-mllvm", "-tail-dup-pred-size=1000", "-mllvm", "-tail-dup-succ-size=1000",
)  # fmt: skip
SMALL_FRAMES = "-Wframe-larger-than=4000"
"""An error, too: a larger frame could step over the page that guards the end of a stack."""
INLINE_FLAGS = (
    # Vectors are as wide as the processor that runs them, and the memory of programs has no types.
    "--target=x86_64-linux-gnu", "-march=x86-64", "-fno-vectorize", "-fno-slp-vectorize", "-fno-strict-aliasing",
)  # fmt: skip
OF_A_TARGET = (
    "target-cpu", "target-features", "tune-cpu", "min-legal-vector-width", "stack-protector-buffer-size",
    "no-trapping-math", "frame-pointer", "probe-stack",
)  # fmt: skip
"""Attributes of functions. LLVM complains where they are for another target, and inlines nothing where they differ."""
LIMIT = 50_000
"""Bytes that an image may have."""
FARTHEST = 1 << 15
"""Bytes that `ebpf_run` may have: the labels of its operations are 16 bits wide."""


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


def compile_object(target: Target, directory: Path) -> Path:
    """Compile the support library; return the object's path."""
    output = directory / f"{target.name}.o"
    # Relative names and a fixed directory: no path of this machine gets into the object.
    command = [CLANG, *FLAGS, SMALL_FRAMES, *target.flags, "-c", "image.c", "-o", str(output)]
    subprocess.run(command, cwd=HERE, check=True)
    return output


def build(target: Target) -> bytes:
    """Return the image of a target."""
    with tempfile.TemporaryDirectory() as directory:
        elf = compile_object(target, Path(directory)).read_bytes()
    if size_of(elf, "ebpf_run") > FARTHEST:
        raise LinkError(f"ebpf_run of {target.name} has more than {FARTHEST} bytes: make struct op's labels wider")
    flat = link(elf)
    code, symbols = flat.code + bytes(-len(flat.code) % ALIGNMENT), flat.symbols
    (count,) = struct.unpack_from("<I", code, symbols["ebpf_layout_size"])
    layout = struct.unpack_from(f"<{count}I", code, symbols["ebpf_layout"])
    entries = {name: symbols[name] for name in ENTRIES}
    header = Header(target.name, layout, entries, len(code), checksum(code))
    image = header.pack() + code
    if len(image) > LIMIT:
        raise LinkError(f"the image of {target.name} has {len(image)} bytes, more than {LIMIT}")
    return image


def size_of(elf: bytes, name: str) -> int:
    """Return the size of a function."""
    table = ELFFile(BytesIO(elf)).get_section_by_name(".symtab")
    (symbol,) = table.get_symbol_by_name(name)
    return int(symbol["st_size"])


def build_bitcode() -> bytes:
    """Return inline.c as bitcode."""
    command = [CLANG, *FLAGS, *INLINE_FLAGS, "-S", "-emit-llvm", "inline.c", "-o", "-"]
    text = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    return subprocess.run([ASSEMBLER], input=make_generic(text).encode(), check=True, capture_output=True).stdout


def make_generic(text: str) -> str:
    """Remove from LLVM IR what is of one target: the compiler of programs says what its own is."""
    text = re.sub(rf' "(?:{"|".join(OF_A_TARGET)})"="[^"]*"', "", text)
    text = re.sub(
        r"^(?:target (?:triple|datalayout)|!llvm\.(?:module\.flags|ident)) = .*\n", "", text, flags=re.MULTILINE
    )
    text = re.sub(r" uwtable(?:\(\w+\))?", "", text)
    # Windows has a function of its C library called for frames of more than a page; none is that large.
    return re.sub(r"^(attributes #\d+ = \{.*) \}$", r'\1 "no-stack-arg-probe" }', text, flags=re.MULTILINE)


def compiler_version() -> str:
    """Return the version of the compiler, "" where there is none."""
    try:
        output = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        return ""
    return output.partition("version ")[2].split()[0]


def build_all() -> Iterator[tuple[str, bytes]]:
    """Yield each file's name and content."""
    for target in TARGETS:
        yield f"interp-{target.name}.bin", build(target)
    yield "support.bc", build_bitcode()


def main() -> int:
    """Build everything, or compare it."""
    parser = argparse.ArgumentParser(description="Build the native images and the bitcode of the support library.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    check = parser.parse_args().check
    version = compiler_version()
    if not version.startswith(VERSION) or shutil.which(ASSEMBLER) is None:
        print(f"{CLANG} {VERSION}x and {ASSEMBLER} are needed, found {version or 'none'}", file=sys.stderr)
        return 1
    differ = 0
    for name, content in build_all():
        path = IMAGES / name
        same = path.exists() and path.read_bytes() == content
        differ += not same
        if not check:
            path.write_bytes(content)
        print(f"{name}: {len(content)} bytes, {'unchanged' if same else 'differs' if check else 'written'}")
    return 1 if check and differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
