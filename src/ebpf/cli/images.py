"""Native images as commands take and show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebpf.codegen.native import NativeImage, is_image
from ebpf.errors import EbpfError, ImageError, NotSupportedError

if TYPE_CHECKING:
    from ebpf.objects import Collection
    from ebpf.spec import CollectionSpec


def open_image(data: bytes, *, name: str, trusted_keys: Sequence[Path], allow_unsigned: bool) -> NativeImage | None:
    """Read an image that may run; None for another file, for which the options make no sense."""
    from ebpf.objects.native import admit_native

    if not is_image(data):
        if trusted_keys or allow_unsigned:
            raise click.UsageError(f"--trusted-key and --allow-unsigned are for native images, and {name} is none")
        return None
    if not trusted_keys and not allow_unsigned:
        raise click.UsageError(f"{name} is a native image: give --trusted-key FILE, or --allow-unsigned if you made it")
    if trusted_keys and allow_unsigned:
        raise click.UsageError("--trusted-key and --allow-unsigned say opposite things: give one of them")
    try:
        return admit_native(data, name=name, trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
    except ValueError as error:
        raise as_usage(error) from None


def load(
    spec: CollectionSpec, image: NativeImage | None, *, runtime: str, engine: str, pin_path: str | None
) -> Collection:
    """Load what a file defines: as an object, or as the image that it comes from, which brings its engine."""
    from ebpf.objects.native import load_image

    if image is None:
        return spec.load(runtime=runtime, engine=engine, pin_path=pin_path)
    if engine not in ("auto", "native"):
        raise click.UsageError(f"--engine {engine}: a native image runs on the engine native")
    return load_image(image, spec, runtime="embedded" if runtime == "auto" else runtime, pin_path=pin_path)


def as_usage(error: ValueError) -> Exception:
    """Turn a wrong target or key into wrong usage; what the library raises on purpose stays what it is."""
    return error if isinstance(error, EbpfError) else click.UsageError(str(error))


def describe_image(image: NativeImage) -> dict[str, Any]:
    """Return what an image says about itself as JSON types."""
    from ebpf.codegen.signature import fingerprint

    return {
        "target": image.interface.target,
        "abi": image.interface.abi,
        "version": image.version,
        "signer": None if image.signer is None else fingerprint(image.signer),
        "programs": {
            program.name: {
                "code_size": len(program.code),
                "digest": program.digest.hex(),
                "maps": [map_.name for map_ in program.maps],
            }
            for program in image.programs
        },
    }


def signature_state(image: NativeImage, data: bytes) -> str:
    """Say whether the signature is that of the key in the image, which need not be a key that anybody trusts."""
    from ebpf.codegen.signature import check_signature

    if image.signer is None:
        return "unsigned"
    try:
        check_signature(data, image, [image.signer])
    except NotSupportedError:
        return "unchecked"  # the package for it is missing
    except ImageError:
        return "wrong"
    return "valid"
