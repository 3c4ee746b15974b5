"""Builds the images and the bitcode in src/ebpf/codegen/images: `make support`, or `python support/build.py [--check]`.

clang makes an ELF object for each target, which becomes one flat blob (ebpf.codegen.flat). An image depends on clang's
version and on nothing else of the machine that builds it; `--check` builds without writing and fails where a committed
image differs.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ebpf.codegen.flat import LinkError, link
from ebpf.codegen.header import ALIGNMENT, ENTRIES, Header

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "src" / "ebpf" / "codegen" / "images"
CLANG = "clang-19"
ASSEMBLER = "llvm-as-19"
VERSION = "19.1."
"""What `clang-19 --version` has to name; another one makes other code."""
FLAGS = (
    "-std=c11", "-O2", "-fPIC", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-exceptions",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-ident", "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
LIMIT = 50_000
"""Bytes that an image may have."""


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
    subprocess.run([CLANG, *FLAGS, *target.flags, "-c", "image.c", "-o", str(output)], cwd=HERE, check=True)
    return output


def build(target: Target) -> bytes:
    """Return the image of a target."""
    with tempfile.TemporaryDirectory() as directory:
        flat = link(compile_object(target, Path(directory)).read_bytes())
    code, symbols = flat.code + bytes(-len(flat.code) % ALIGNMENT), flat.symbols
    (count,) = struct.unpack_from("<I", code, symbols["ebpf_layout_size"])
    layout = struct.unpack_from(f"<{count}I", code, symbols["ebpf_layout"])
    entries = {name: symbols[name] for name in ENTRIES}
    header = Header(target.name, layout, entries, len(code), hashlib.sha256(code).digest())
    image = header.pack() + code
    if len(image) > LIMIT:
        raise LinkError(f"the image of {target.name} has {len(image)} bytes, more than {LIMIT}")
    return image


def build_bitcode() -> bytes:
    """Return what compiled programs inline as bitcode without anything of the processor that it was built for."""
    flags = ("--target=x86_64-linux-gnu", "-march=x86-64", "-mtune=generic", "-fno-strict-aliasing")
    command = [CLANG, *FLAGS, *flags, "-S", "-emit-llvm", "-o", "-", "inline.c"]
    text = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    text = _ATTRIBUTE.sub("", text)
    # Flags and identifiers of the module name the compiler, and differ from those of the modules it is linked with.
    text = re.sub(r"^(source_filename|target (triple|datalayout)|!llvm\.).*\n", "", text, flags=re.MULTILINE)
    assemble = [ASSEMBLER, "-", "-o", "-"]
    return subprocess.run(assemble, input=text.encode(), check=True, capture_output=True).stdout


_ATTRIBUTE = re.compile(
    r' "(?:target-cpu|target-features|tune-cpu|min-legal-vector-width|stack-protector-buffer-size|no-trapping-math'
    r'|frame-pointer|probe-stack|no-builtins)"(?:="[^"]*")?| uwtable(?:\([a-z]+\))?'
)
"""Attributes of functions that are the processor's or the platform's."""


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
    made = {f"interp-{target.name}.bin": build(target) for target in TARGETS} | {"support.bc": build_bitcode()}
    for name, image in made.items():
        path = IMAGES / name
        same = path.exists() and path.read_bytes() == image
        differ += not same
        if not check:
            path.write_bytes(image)
        print(f"{path.name}: {len(image)} bytes, {'unchanged' if same else 'differs' if check else 'written'}")
    return 1 if check and differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
