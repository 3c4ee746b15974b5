"""The format of native images: what is written is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import random
import re
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from ebpf.codegen.native import (
    FORMAT,
    MOST_BYTES,
    SIGNATURE_SIZE,
    Interface,
    NativeImage,
    NativeMap,
    NativeProgram,
    read_image,
)
from ebpf.codegen.signature import MOST_KEY_BYTES, check_signature, fingerprint, public_key, read_private_key, sign
from ebpf.codegen.triple import target_of
from ebpf.errors import ImageError, NotSupportedError

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SSH = KEY.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
IMAGE = NativeImage(
    Interface("aarch64", 3, bytes(range(32)), 3, hashlib.sha256(b"a\0b\0c").digest()),
    "0.1.0",
    b"the object",
    (
        NativeProgram("first", b"1" * 32, 4, b"code of first", (NativeMap("flows", 9, 16, 8, 100, 1, 0, 24, 32),)),
        NativeProgram("second", b"2" * 32, 0, b"code"),
    ),
)
DATA = IMAGE.pack()
SIGNED = sign(IMAGE, KEY).pack()
HEADER = 304
DIGEST = 32
"""Bytes at the end of the header, which are the SHA-256 of those before them."""
MUTATIONS = 2000


def parse(data: bytes) -> NativeImage:
    return NativeImage.parse(data, name="x.native")


def accept(data: bytes, *keys: bytes) -> NativeImage:
    image = parse(data)
    check_signature(data, image, keys)
    return image


def test_what_is_written_is_read() -> None:
    assert parse(DATA) == dataclasses.replace(IMAGE, name="x.native")
    assert parse(DATA).pack() == DATA
    signed = accept(SIGNED, bytes(32), PUBLIC)
    assert (signed.signer, signed.programs) == (PUBLIC, IMAGE.programs)
    assert signed.pack() == SIGNED
    assert DATA[HEADER : HEADER + 10] == b"the object"


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_of_a_signed_image_can_be_changed(bit: int) -> None:
    for at in range(len(SIGNED)):
        changed = bytearray(SIGNED)
        changed[at] ^= 1 << bit
        with pytest.raises(ImageError):
            accept(bytes(changed), PUBLIC)


@pytest.mark.parametrize("bit", range(8))
def test_damage_is_found_without_a_key(bit: int) -> None:
    """Every bit has a hash but those of the signature, which only a key tells right from wrong."""
    for data, end in ((DATA, len(DATA)), (SIGNED, len(SIGNED) - SIGNATURE_SIZE)):
        for at in range(end):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(ImageError):
                parse(bytes(changed))


def test_hashes_alone_do_not_make_a_change_pass() -> None:
    forged = dataclasses.replace(parse(SIGNED), object=b"another object")
    with pytest.raises(ImageError, match="the image was changed after it was signed"):
        accept(forged.pack(), PUBLIC)


def test_who_signed() -> None:
    with pytest.raises(ImageError, match="it is not signed"):
        accept(DATA, PUBLIC)
    with pytest.raises(ImageError, match=f"signed by {fingerprint(PUBLIC)[:20]}.*no trusted key".replace("+", r"\+")):
        accept(SIGNED, bytes(32))


@pytest.mark.parametrize("seed", range(4))
def test_mutations_are_refused_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(MUTATIONS // 4):
        data = mutated(rng, DATA)
        try:
            image = parse(data)
        except ImageError:
            refused += 1
        else:
            assert [program.code for program in image.programs] == [program.code for program in IMAGE.programs]
    assert refused > MUTATIONS // 4 * 0.9


@pytest.mark.parametrize("seed", range(4))
def test_hostile_tables_whose_hashes_fit(seed: int) -> None:
    """The parser behind the hashes: whatever passes it keeps to its bounds, and is written as it was read."""
    rng = random.Random(seed)
    start = HEADER + len(IMAGE.object)
    size = len(DATA) - start - sum(len(program.code) for program in IMAGE.programs)
    passed = 0
    for _ in range(MUTATIONS // 4):
        tables = mutated(rng, DATA[start : start + size])
        try:
            image = parse(with_tables(tables))
        except ImageError:
            continue
        passed += 1
        assert image.pack() == with_tables(tables)
        assert all(program.entry < len(program.code) for program in image.programs)
    assert 0 < passed < MUTATIONS // 4 * 0.9


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Change, cut, insert or repeat a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            case 2:
                del changed[at : at + rng.choice((1, 4, 100))]
            case 3:
                changed[at:at] = changed[: rng.choice((1, 8, 64))]
        if not changed:
            break
    return bytes(changed)


def with_tables(tables: bytes) -> bytes:
    """The image with other tables, and a header that fits."""
    code = b"".join(program.code for program in IMAGE.programs)
    parts = (IMAGE.object, tables, code)
    described = b"".join(struct.pack("<Q", len(part)) + hashlib.sha256(part).digest() for part in parts)
    return with_digest(DATA[: HEADER - DIGEST - len(described)] + described) + b"".join(parts)


def with_digest(header: bytes) -> bytes:
    return header + hashlib.sha256(header).digest()


def replaced(at: int, value: bytes) -> bytes:
    """The image with other bytes; a change in the header has a hash that fits."""
    changed = DATA[:at] + value + DATA[at + len(value) :]
    return with_digest(changed[: HEADER - DIGEST]) + changed[HEADER:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "this is no native image; make one with `ebpf gen native`"),
        (b"\x7fELF" + DATA, "this is no native image"),
        (DATA[:100], f"the header is cut short: 100 bytes of {HEADER}"),
        (replaced(8, struct.pack("<I", FORMAT + 1)), f"it has format {FORMAT + 1}, this version reads {FORMAT}"),
        (replaced(16, b"\xff"), "the target in the header is no text in UTF-8"),
        (replaced(16, b"\x1b[2J"), "the target in the header is empty or not printable"),
        (DATA + b"\0", f"it has {len(DATA) + 1} bytes, its header says {len(DATA)}"),
        (DATA[:-1], f"it has {len(DATA) - 1} bytes, its header says {len(DATA)}"),
        (replaced(HEADER, b"T"), "damaged: its object has another SHA-256"),
        (replaced(HEADER + 10, b"\xff"), "damaged: its program table has another"),
        (DATA[:-1] + b"!", "damaged: its code has another"),
        (DATA[:32] + b"1" + DATA[33:], "damaged: its header has another SHA-256 than it says"),
        (replaced(152, struct.pack("<Q", 1 << 60)), f"its header says {(1 << 60) + len(DATA) - 10} bytes, expected at"),
        (replaced(112, b"k" * 32), f"its header says {len(DATA) + SIGNATURE_SIZE}"),
    ],
    ids=map(str, itertools.count()),
)
def test_reasons(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        parse(data)


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ((dataclasses.replace(IMAGE.programs[0], entry=13),), "program first begins or ends outside of the code"),
        ((dataclasses.replace(IMAGE.programs[0], code=b"", entry=0),), "program first begins or ends outside"),
        ((IMAGE.programs[1], IMAGE.programs[1]), "two programs have one name"),
        ((dataclasses.replace(IMAGE.programs[1], name="a\nb"),), "a name in the tables is empty or not printable"),
    ],
)
def test_reasons_in_tables(programs: tuple[NativeProgram, ...], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        parse(dataclasses.replace(IMAGE, programs=programs).pack())


@pytest.mark.parametrize("given", [0, 8, HEADER])
def test_a_file_is_read_as_far_as_its_header_says(given: int) -> None:
    assert read_image(io.BytesIO(SIGNED[given:]), name="x", head=SIGNED[:given]) == SIGNED


class Endless(io.RawIOBase):
    """A file that begins with some bytes and has zeros behind them for ever."""

    def __init__(self, start: bytes) -> None:
        self._start = io.BytesIO(start)
        self.most = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "without an end it can't be read"
        self.most = max(self.most, size)
        return self._start.read(size) or bytes(size)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"", "x: this is no native image"),
        (DATA, f"x: it is longer than the {len(DATA)} bytes that its header says"),
        (replaced(152, struct.pack("<Q", 1 << 40)), f"bytes, expected at most {MOST_BYTES}"),
    ],
)
def test_files_without_an_end(start: bytes, reason: str) -> None:
    file: Any = Endless(start)
    with pytest.raises(ImageError, match=reason):
        read_image(file, name="x")
    assert file.most < 1000


def test_keys(tmp_path: Path) -> None:
    assert public_key(PUBLIC) == public_key(bytearray(PUBLIC)) == public_key(memoryview(PUBLIC)) == PUBLIC
    file = tmp_path / "k.pub"
    for text in (SSH, PEM, b"\xef\xbb\xbf" + SSH, b"\n# mine\n\n" + SSH + b" me@here\r\n", b"\n" + PEM):
        file.write_bytes(text)
        assert public_key(text) == public_key(text.decode()) == public_key(file) == public_key(str(file)) == PUBLIC
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH):
        text = KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        assert read_private_key(text, name="k").private_bytes_raw() == bytes(range(32))
    secret = serialization.BestAvailableEncryption(b"secret")
    locked = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    with pytest.raises(ValueError, match="k: the key is encrypted; give one without a passphrase"):
        read_private_key(locked, name="k")


EXPECTED = "a trusted key: expected an Ed25519 public key in PEM or OpenSSH form"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"ssh-ed25519 AAAA", f"{EXPECTED}: "),
        (b"", "a trusted key: expected 32 bytes or the text of a PEM or OpenSSH file, got 0 bytes"),
        (PUBLIC[:31], "a trusted key: expected 32 bytes or the text of a PEM or OpenSSH file, got 31 bytes"),
        (PUBLIC.hex(), f"trusted key '{PUBLIC.hex()}': there is no such file, and it is no text of a PEM or OpenSSH"),
        ("\udc80\0", "there is no such file, and it is no text of"),
        (SSH + b"\n" + SSH, f"{EXPECTED}, found 2 of them; give each one by itself"),
        (PEM + PEM, f"{EXPECTED}, found 2 of them; give each one by itself"),
        (SSH.replace(b"ed25519 ", b"ed25519-cert-v01@openssh.com "), f"{EXPECTED}, found an OpenSSH certificate"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", f"{EXPECTED}, found a private key; give the public one"),
    ],
)
def test_wrong_keys(key: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        public_key(key)


@pytest.mark.parametrize("key", [None, 7, 10**15, [PUBLIC], io.BytesIO(PUBLIC)])
def test_what_is_no_key_at_all(key: Any) -> None:
    reason = "a trusted key is 32 bytes, the text of a PEM or OpenSSH file, or the path of one, got "
    with pytest.raises(TypeError, match=reason + type(key).__name__):
        public_key(key)


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_bytes(bytes(MOST_KEY_BYTES + 1))
    with pytest.raises(ValueError, match="k: expected an Ed25519 key in PEM or OpenSSH form, found more than 65536"):
        public_key(file)
    file.write_bytes(PUBLIC)
    with pytest.raises(ValueError, match=r"k: expected an Ed25519 public key .* form, found 32 bytes that are neither"):
        public_key(file)
    with pytest.raises(FileNotFoundError):
        public_key(tmp_path / "nobody")


def test_wrong_private_keys() -> None:
    with pytest.raises(ValueError, match="k: expected an Ed25519 private key in PEM or OpenSSH form"):
        read_private_key(b"secret", name="k")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.x25519").X25519PrivateKey.generate()
    other = ec.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="expected an Ed25519 private key, found X25519PrivateKey"):
        read_private_key(other, name="k")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("aarch64", "aarch64"),
        ("aarch64-unknown-linux-gnu", "aarch64"),
        ("arm64-linux-musl", "aarch64"),
        ("x86_64-linux-gnu", "x86_64-sysv"),
        ("amd64-pc-windows-msvc", "x86_64-win64"),
        ("x86_64-w64-mingw32", "x86_64-win64"),
    ],
)
def test_triples(name: str, target: str) -> None:
    assert target_of(name) == target


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sparc-linux-gnu",
        "aarch64-apple-darwin",
        "aarch64-pc-windows-msvc",
        "x86_64",
        "x86_64-linux-gnux32",
        "x86_64-pc-linux-muslx32",
        "aarch64-linux-gnu_ilp32",
    ],
)
def test_triples_without_a_runtime(name: str) -> None:
    with pytest.raises(ValueError, match="there is no native code for"):
        target_of(name)


@pytest.mark.parametrize("key", [PUBLIC, SSH, PEM], ids=["bytes", "OpenSSH", "PEM"])
def test_without_cryptography(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(NotSupportedError, match="reading a key or a signature is not supported; the package crypto"):
        accept(SIGNED, key)
