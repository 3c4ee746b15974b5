"""Ed25519 signatures of native images (RFC 8032). The only module that imports cryptography, and only to use a key."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ebpf.codegen.native import NativeImage
from ebpf.errors import ImageError, NotSupportedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_SIZE = 32
TrustedKey: TypeAlias = "bytes | str | os.PathLike[str]"
"""A public key: its 32 bytes, the text of a PEM or OpenSSH file, or the path of such a file."""


def fingerprint(key: bytes) -> str:
    """Return what `ssh-keygen -l` calls a public key of 32 bytes."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4, "big") + kind + len(key).to_bytes(4, "big") + key
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_private_key(data: bytes, *, name: str) -> Ed25519PrivateKey:
    """Read an Ed25519 private key from PEM or OpenSSH text without a passphrase; `name` stands for it in errors.

    Raises ValueError for anything else, NotSupportedError without the package cryptography.
    """
    keys, serialization = _cryptography()
    load = serialization.load_pem_private_key
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        load = serialization.load_ssh_private_key
    found = _read(lambda: load(data, password=None), name, "private")
    if not isinstance(found, keys.Ed25519PrivateKey):
        raise ValueError(f"{name}: expected an Ed25519 private key, found a {type(found).__name__}")
    key: Ed25519PrivateKey = found
    return key


def sign(image: NativeImage, key: Ed25519PrivateKey) -> NativeImage:
    """Return the image with the signature of this key."""
    public = key.public_key().public_bytes_raw()
    named = dataclasses.replace(image, signer=public, signature=b"")
    return dataclasses.replace(named, signature=key.sign(named.signed_bytes()))


def check_signature(data: bytes, image: NativeImage, keys: Iterable[TrustedKey]) -> None:
    """Check that one of the keys signed every byte of the file `data`, which `image` was read from.

    Raises ImageError otherwise, ValueError for a key that is none, NotSupportedError without cryptography.
    """
    trusted = {public_key(key) for key in keys}
    if image.signer is None:
        raise ImageError(f"{image.name}: it is not signed, and only images of trusted keys are taken")
    if image.signer not in trusted:
        raise ImageError(f"{image.name}: it is signed by {fingerprint(image.signer)}, which is no trusted key")
    _verify(data, image, image.signer)


def _verify(data: bytes, image: NativeImage, signer: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    ed25519, _ = _cryptography()
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(signer).verify(image.signature, data[: -len(image.signature)])
    except InvalidSignature:
        raise ImageError(
            f"{image.name}: the signature of {fingerprint(signer)} is wrong: the image was changed after it was signed"
        ) from None


def public_key(key: TrustedKey) -> bytes:
    """Return the 32 bytes of a public key."""
    if isinstance(key, bytes) and len(key) == KEY_SIZE:
        return key
    name = "a trusted key"
    if isinstance(key, os.PathLike):
        name = os.fspath(key)
        with open(key, "rb") as file:
            key = file.read()
    data = key.encode() if isinstance(key, str) else bytes(key)
    ed25519, serialization = _cryptography()
    load = serialization.load_ssh_public_key if data.startswith(b"ssh-") else serialization.load_pem_public_key
    found = _read(lambda: load(data), name, "public")
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise ValueError(f"{name}: expected an Ed25519 public key, found a {type(found).__name__}")
    return bytes(found.public_bytes_raw())


def _read(load: Any, name: str, kind: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except TypeError:
        # What cryptography raises for a key that needs a password.
        raise ValueError(f"{name}: the key is encrypted; give one without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(f"{name}: expected an Ed25519 {kind} key in PEM or OpenSSH form: {reason}") from None


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise NotSupportedError(
            "a signature", alternative="the package cryptography is not installed (pip install 'ebpf[sign]')"
        ) from None
    return ed25519, serialization
