"""`ebpf gen`: make native images from object files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebpf.cli.files import read_object_or_image, refuse_standard_output, refuse_to_overwrite, write_whole
from ebpf.cli.images import as_usage, describe_image
from ebpf.cli.output import echo_json, facts
from ebpf.cli.selectors import json_option

if TYPE_CHECKING:
    from ebpf.codegen.native import NativeImage


@click.group()
def command() -> None:
    """Make native images from object files."""


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The image to write."
)
@click.option(
    "--target", metavar="TARGET", help="x86_64-sysv, x86_64-win64, aarch64, or a triple; default: this machine."
)
@click.option(
    "--sign",
    "key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEYFILE",
    help="Sign with this Ed25519 private key (PEM or OpenSSH).",
)
@click.option(
    "--tier",
    type=click.Choice(["light", "full"]),
    default="full",
    show_default=True,
    help="How much work goes into the code.",
)
@click.option(
    "--cpus",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Virtual CPUs of the runtime, for per-CPU maps.",
)
@json_option
def native(
    *, file: Path, output: Path, target: str | None, key: Path | None, tier: str, cpus: int, as_json: bool
) -> None:
    """Compile the programs of an object FILE into a native image, which runs without a compiler.

    `ebpf run` and Collection.load_native() take images; docs/native-images.md describes them.
    """
    from ebpf.objects.native import make_native

    refuse_standard_output(output)
    refuse_to_overwrite(output, {"the object": file, "the signing key": key})
    data = read_object_or_image(file)
    try:
        image = make_native(data, name=str(file), target=target, tier=tier, cpus=cpus)
        if key is not None:
            image = _signed(image, key)
    except ValueError as error:
        raise as_usage(error) from None
    written = image.pack()
    write_whole(output, written)
    document = {"path": str(output), "size": len(written), **describe_image(image)}
    if as_json:
        echo_json(document)
        return
    programs = ", ".join(f"{program.name} ({len(program.code)} bytes)" for program in image.programs)
    facts(
        {
            "wrote": f"{output} ({len(written)} bytes)",
            "target": image.interface.target,
            "programs": programs,
            "signer": document["signer"] or "none: give --sign KEYFILE to sign it",
        }
    )


def _signed(image: NativeImage, key: Path) -> NativeImage:
    from ebpf.codegen.signature import read_key_file, read_private_key, sign

    return sign(image, read_private_key(read_key_file(key), name=str(key)))
