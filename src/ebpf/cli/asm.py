"""`ebpf asm` and `ebpf disasm`: text ⇄ instructions."""

from __future__ import annotations

from typing import Any

import click

from ebpf.abi.platform import Platform
from ebpf.asm import Instructions, assemble, disassemble
from ebpf.asm.instructions import ByteOrder
from ebpf.cli.output import echo_json
from ebpf.errors import AsmError, ImageError

_ELF_MAGIC = b"\x7fELF"
_HEX = frozenset(b"0123456789abcdefABCDEF \t\r\n")

_FILE = click.argument("file", default="-", type=click.Path(allow_dash=True))
_BYTE_ORDER = click.option("--byte-order", type=click.Choice(["little", "big"]), default="little", show_default=True)
_PLATFORM = click.option(
    "--platform",
    type=click.Choice(["linux", "windows"]),
    default="linux",
    show_default=True,
    help="Whose helpers a call names.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("asm")
@_FILE
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write to this file, raw bytes unless told.")
@click.option("--format", "form", type=click.Choice(["hex", "raw"]), help="Hex text (to the terminal) or raw bytes.")
@_BYTE_ORDER
@_PLATFORM
@_JSON
def asm_command(
    file: str, output: str | None, form: str | None, byte_order: ByteOrder, platform: str, as_json: bool
) -> None:
    """Assemble text, from FILE or standard input, into eBPF instructions.

    The text is in the kernel's syntax: `r0 = *(u32 *)(r1 + 4)`, `if r0 s> 5 goto out`, `call bpf_ktime_get_ns`.
    """
    if as_json and (output or form):
        raise click.UsageError("--json goes to standard output and has a form of its own: leave out -o and --format")
    try:
        text = _read(file).decode()
    except UnicodeDecodeError as error:
        raise AsmError(f"expected assembly text in UTF-8, found byte {error.object[error.start]:#04x}") from None
    insns = assemble(text, platform=_platform(platform))
    if as_json:
        echo_json(_document(insns, byte_order))
        return
    data = insns.encode(byte_order)
    if form is None:
        form = "hex" if output is None else "raw"
    _write(output, data if form == "raw" else _hex_lines(insns, data))


@click.command("disasm")
@_FILE
@click.option("--program", "names", multiple=True, help="Only this program of an object file; may be repeated.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "hex", "raw", "elf"]),
    default="auto",
    show_default=True,
    help="What the input is.",
)
@click.option("--source/--no-source", default=True, show_default=True, help="Show lines of source code.")
@click.option("--offsets/--no-offsets", default=True, show_default=True, help="Show the slot of each instruction.")
@_BYTE_ORDER
@_PLATFORM
@_JSON
def disasm_command(
    file: str,
    names: tuple[str, ...],
    form: str,
    source: bool,
    offsets: bool,
    byte_order: ByteOrder,
    platform: str,
    as_json: bool,
) -> None:
    """Disassemble instructions (hex text or raw bytes) or an object file, from FILE or standard input."""
    data = _read(file)
    if form == "auto":
        form = _guess(data, file)
    if form == "elf":
        programs, byte_order = _programs(data, file, names)
    elif names:
        raise click.UsageError("--program selects from an object file, and this is none")
    else:
        programs = {"": Instructions.decode(_unhex(data) if form == "hex" else data, byte_order)}
    if as_json:
        documents = {name: _document(insns, byte_order) for name, insns in programs.items()}
        echo_json({"programs": documents} if form == "elf" else documents[""])
        return
    for position, (name, insns) in enumerate(programs.items()):
        if form == "elf":
            click.echo(f"{chr(10) if position else ''}# program {name}")
        click.echo(disassemble(insns, offsets=offsets, source=source, helpers=_platform(platform)), nl=False)


def _read(file: str) -> bytes:
    with click.open_file(file, "rb") as stream:
        data: bytes = stream.read()
        return data


def _write(output: str | None, data: bytes) -> None:
    with click.open_file(output or "-", "wb") as stream:
        stream.write(data)


def _platform(name: str) -> Platform:
    return Platform[name.upper()]


def _hex_lines(insns: Instructions, data: bytes) -> bytes:
    """One instruction a line."""
    ends = [*insns.raw_offsets()[1:], insns.slots] if insns else []
    lines, start = [], 0
    for end in ends:
        lines.append(data[start * 8 : end * 8].hex(" ") + "\n")
        start = end
    return "".join(lines).encode()


def _guess(data: bytes, file: str) -> str:
    from ebpf.codegen.native import is_image

    if is_image(data):
        raise ImageError(f"{file}: it is a native image; disassemble the object that it was made from")
    if data.startswith(_ELF_MAGIC):
        return "elf"
    return "hex" if _HEX.issuperset(data) else "raw"


def _unhex(data: bytes) -> bytes:
    text = data.decode("ascii", "replace")
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise AsmError("expected pairs of hexadecimal digits") from None


def _programs(data: bytes, file: str, names: tuple[str, ...]) -> tuple[dict[str, Instructions], ByteOrder]:
    from ebpf.spec import CollectionSpec

    spec = CollectionSpec.from_bytes(data, name="<stdin>" if file == "-" else file)
    for name in names:
        if name not in spec.programs:
            known = ", ".join(spec.programs) or "none"
            raise AsmError(f"the object file has no program {name}; it has {known}")
    return {name: spec.programs[name].insns for name in names or spec.programs}, spec.byte_order


def _document(insns: Instructions, byte_order: ByteOrder) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for slot, insn in zip(insns.raw_offsets(), insns, strict=True):
        fields = {name: getattr(insn, name) for name in ("opcode", "dst", "src", "off", "imm", "symbol")}
        reference = None if insn.reference is None else insn.reference._asdict()
        source = None if insn.source is None else str(insn.source)
        rows.append({"slot": slot, "text": str(insn), **fields, "reference": reference, "source": source})
    return {
        "byte_order": byte_order,
        "slots": insns.slots,
        "bytecode": insns.encode(byte_order).hex(),
        "insns": rows,
    }
