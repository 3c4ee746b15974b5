"""Ed25519 signatures of native images (RFC 8032). The only module that imports cryptography, and only to use a key."""

from __future__ import annotations

import base64
import codecs
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
MOST_KEY_BYTES = 1 << 16
"""What is longer is no file of a key."""
TrustedKey: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str]"
"""A public key: its 32 bytes, the text of a PEM or OpenSSH file, or the path of such a file."""
_PEM = b"-----BEGIN "
_CERTIFICATE = b"-cert-v01@openssh.com"


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
        raise ValueError(f"{name}: expected an Ed25519 private key, found {type(found).__name__}")
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
    ed25519, _ = _cryptography()  # first: without the package this says so
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(signer).verify(image.signature, data[: -len(image.signature)])
    except InvalidSignature:
        raise ImageError(
            f"{image.name}: the signature of {fingerprint(signer)} is wrong: the image was changed after it was signed"
        ) from None


def public_key(key: TrustedKey) -> bytes:
    """Return the 32 bytes of a public key.

    Raises ValueError for a key that is none, TypeError for what can't be one, OSError for a file that can't be read.
    """
    if isinstance(key, (bytes, bytearray, memoryview)):
        return _key_of_bytes(bytes(key))
    if isinstance(key, str) and _is_text(key.encode(errors="replace")):
        return _read_public(key.encode(errors="replace"), "a trusted key")
    if isinstance(key, str) and not os.path.exists(key):
        raise ValueError(f"trusted key {key!r}: there is no such file, and it is no text of a PEM or OpenSSH file")
    if not isinstance(key, (str, os.PathLike)):
        raise TypeError(
            f"a trusted key is {KEY_SIZE} bytes, the text of a PEM or OpenSSH file, or the path of one, "
            f"got {type(key).__name__}"
        )
    return _read_public(read_key_file(key), os.fspath(key))


def _key_of_bytes(data: bytes) -> bytes:
    if len(data) == KEY_SIZE:
        return data
    if not _is_text(data):
        raise ValueError(
            f"a trusted key: expected {KEY_SIZE} bytes or the text of a PEM or OpenSSH file, got {len(data)} bytes"
        )
    return _read_public(data, "a trusted key")


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """Read a file that may be a key. Raises ValueError for one that is too long, OSError."""
    with open(path, "rb") as file:
        data = file.read(MOST_KEY_BYTES + 1)
    if len(data) > MOST_KEY_BYTES:
        raise ValueError(
            f"{os.fspath(path)}: expected an Ed25519 key in PEM or OpenSSH form, found more than {MOST_KEY_BYTES} bytes"
        )
    return data


def _is_text(data: bytes) -> bool:
    """Say whether this is, or contains, a key in PEM or OpenSSH form, whose base64 always begins with AAAA."""
    return _PEM in data or b" AAAA" in data


def _read_public(data: bytes, name: str) -> bytes:
    text = _one_key(data, name)
    ed25519, serialization = _cryptography()
    load = serialization.load_pem_public_key if _PEM in text else serialization.load_ssh_public_key
    found = _read(lambda: load(text), name, "public")
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise ValueError(f"{name}: expected an Ed25519 public key, found {type(found).__name__}")
    return bytes(found.public_bytes_raw())


def _one_key(data: bytes, name: str) -> bytes:
    """Return the text of the only key in a file, without blank lines and comments. Raises ValueError."""
    lines = [line.strip() for line in data.removeprefix(codecs.BOM_UTF8).splitlines()]
    lines = [line for line in lines if line and not line.startswith(b"#")]
    text = b"\n".join(lines)
    expected = f"{name}: expected an Ed25519 public key in PEM or OpenSSH form"
    if not _is_text(text):
        raise ValueError(f"{expected}, found {len(data)} bytes that are neither")
    keys = text.count(_PEM) or len(lines)
    if keys > 1:
        raise ValueError(f"{expected}, found {keys} of them; give each one by itself")
    if b"PRIVATE KEY-----" in text:
        raise ValueError(f"{expected}, found a private key; give the public one")
    if _CERTIFICATE in text.split()[0]:
        raise ValueError(f"{expected}, found an OpenSSH certificate, which is not checked; give the key itself")
    return text


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
            "reading a key or a signature",
            alternative="the package cryptography is not installed (pip install 'ebpf[sign]')",
        ) from None
    return ed25519, serialization
