"""Native images: made from object files, and loaded without a compiler (docs/native-images.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ebpf.codegen.native import NativeImage, is_image, read_image
from ebpf.errors import ImageError, NotSupportedError, ObjectFileError
from ebpf.objects.collection import Collection
from ebpf.objects.load import load_collection
from ebpf.runtime import select
from ebpf.spec import CollectionSpec

if TYPE_CHECKING:
    from ebpf.codegen.signature import TrustedKey
    from ebpf.objects.map import Map
    from ebpf.runtime.base import Runtime

_TIERS = ("light", "full")
_PINS = "/native"
"""Where maps that are pinned by name are while an image is made, in a kernel that nobody else sees."""


def read_native(
    path: str | os.PathLike[str], *, trusted_keys: Iterable[TrustedKey] = (), allow_unsigned: bool = False
) -> NativeImage:
    """Read an image and decide whether it may run; see `Collection.load_native()`. Nothing of it is mapped."""
    keys = _checked(trusted_keys, allow_unsigned=allow_unsigned)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected the path of a native image, got {type(path).__name__}: images are read from files")
    name = os.fspath(path)
    with open(path, "rb") as file:
        data = read_image(file, name=name)
    return admit_native(data, name=name, trusted_keys=keys, allow_unsigned=allow_unsigned)


def _checked(trusted_keys: Iterable[TrustedKey], *, allow_unsigned: bool) -> tuple[TrustedKey, ...]:
    if not isinstance(allow_unsigned, bool):  # "no" is true
        raise TypeError(f"allow_unsigned is True or False, got {allow_unsigned!r}")
    given = type(trusted_keys).__name__
    if isinstance(trusted_keys, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise TypeError(f"trusted_keys is a list of keys, got one {given}: put it into a list")
    if not isinstance(trusted_keys, Iterable):
        raise TypeError(f"trusted_keys is a list of keys, got {given}")
    keys = tuple(trusted_keys)
    if keys and allow_unsigned:
        raise ValueError("trusted_keys and allow_unsigned say opposite things: give one of them")
    return keys


def admit_native(
    data: bytes, *, name: str, trusted_keys: Iterable[TrustedKey] = (), allow_unsigned: bool = False
) -> NativeImage:
    """Do what `read_native` does with the bytes of an image; `name` stands for the path in errors."""
    keys = _checked(trusted_keys, allow_unsigned=allow_unsigned)
    image = NativeImage.parse(data, name=name)
    if keys:
        from ebpf.codegen.signature import check_signature

        check_signature(data, image, keys)
    elif not allow_unsigned:
        state = "not signed" if image.signer is None else "signed, but there is no key to compare with"
        raise ImageError(
            f"{image.name}: it is {state}, and its machine code can do what this process can: "
            "give trusted_keys, or allow_unsigned=True if you know where it comes from"
        )
    return image


def spec_of(image: NativeImage, variables: Mapping[str, Any] | None = None) -> CollectionSpec:
    """Return what the image's object defines, with these values of global variables.

    Raises ImageError where it is no object that can be read, ValueError for a variable that it does not have.
    """
    try:
        spec = CollectionSpec.from_bytes(image.object, name=f"the object in {image.name}")
    except ObjectFileError as error:
        raise ImageError(str(error)) from error
    for name, value in (variables or {}).items():
        if name not in spec.variables:
            raise ValueError(f"there is no variable {name!r}; the object has {', '.join(spec.variables) or 'none'}")
        spec.variables[name].value = value
    return spec


def load_image(
    image: NativeImage,
    spec: CollectionSpec,
    *,
    runtime: Runtime | str = "embedded",
    pin_path: str | os.PathLike[str] | None = None,
    replace_maps: Mapping[str, Map] | None = None,
) -> Collection:
    """Load an image that `read_native` let pass; `spec` is that of its object."""
    chosen = select(runtime)
    native = chosen.load_native(image)
    return load_collection(
        spec,
        runtime=chosen,
        engine="native",
        pin_path=pin_path,
        replace_maps=replace_maps,
        native=native,
    )


def make_native(
    data: bytes, *, name: str = "<bytes>", target: str | None = None, tier: str = "full", cpus: int = 1
) -> NativeImage:
    """Compile the programs of an object file that a load takes into an unsigned image.

    `target` is a name or a triple (None: this machine), `tier` "light" or "full". Code that uses per-CPU maps is for
    runtimes with `cpus` virtual CPUs. Raises what loading the object on the embedded runtime raises, ValueError for a
    target or tier that there is none of, NotSupportedError without llvmlite.
    """
    from ebpf.codegen.triple import target_of
    from ebpf.runtime.embedded import EmbeddedRuntime

    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected the bytes of an object file, got {type(data).__name__}: read the file first")
    data = bytes(data)
    if is_image(data):
        raise ImageError(f"{name}: it is a native image already; give the object that it was made from")
    if tier not in _TIERS:
        raise ValueError(f"the tier is {' or '.join(_TIERS)}, got {tier!r}")
    chosen = _this_target() if target is None else target_of(target)
    spec = CollectionSpec.from_bytes(data, name=name)
    kernel = EmbeddedRuntime(cpus=cpus)
    try:
        with spec.load(runtime=kernel, pin_path=_PINS) as collection:
            if not collection.programs:
                raise ImageError(f"{name}: no program of it is loaded, so there is nothing to compile")
            programs = [program.facts for program in collection.programs.values()]
            image = kernel.make_native(data, programs, target=chosen, tier=tier, name=name)
    finally:
        kernel.close()
    return NativeImage.parse(image.pack(), name=name)  # refuses names that an image can't have


def _this_target() -> str:
    from ebpf.codegen.executable import ImageError as NoCode
    from ebpf.codegen.image import target_of_process

    try:
        return target_of_process()
    except NoCode as error:
        raise NotSupportedError("native code for this machine", alternative=f"{error}; name a target") from None
