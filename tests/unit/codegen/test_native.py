"""The format of native images: what is written is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import random
import struct

import pytest

from ebpf.codegen.native import FORMAT, SIGNATURE_SIZE, Interface, NativeImage, NativeMap, NativeProgram
from ebpf.codegen.signature import check_signature, fingerprint, public_key, read_private_key, sign
from ebpf.codegen.triple import target_of
from ebpf.errors import ImageError

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
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
HEADER = 272
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
    return DATA[: HEADER - len(described)] + described + b"".join(parts)


def replaced(at: int, value: bytes) -> bytes:
    return DATA[:at] + value + DATA[at + len(value) :]


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


def test_keys() -> None:
    public = KEY.public_key()
    ssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public_key(PUBLIC) == public_key(ssh) == public_key(pem) == public_key(pem.decode()) == PUBLIC
    for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH):
        text = KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        assert read_private_key(text, name="k").private_bytes_raw() == bytes(range(32))
    secret = serialization.BestAvailableEncryption(b"secret")
    locked = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    with pytest.raises(ValueError, match="k: the key is encrypted; give one without a passphrase"):
        read_private_key(locked, name="k")


def test_wrong_keys() -> None:
    with pytest.raises(ValueError, match="a trusted key: expected an Ed25519 public key in PEM or OpenSSH form"):
        public_key(b"ssh-ed25519 AAAA")
    with pytest.raises(ValueError, match="k: expected an Ed25519 private key in PEM or OpenSSH form"):
        read_private_key(b"secret", name="k")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.x25519").X25519PrivateKey.generate()
    other = ec.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="expected an Ed25519 private key, found a X25519PrivateKey"):
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


@pytest.mark.parametrize("name", ["", "sparc-linux-gnu", "aarch64-apple-darwin", "aarch64-pc-windows-msvc", "x86_64"])
def test_triples_without_a_runtime(name: str) -> None:
    with pytest.raises(ValueError, match="there is no native code for"):
        target_of(name)
