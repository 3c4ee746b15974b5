"""Where an object file can be damaged so that the damage means something: headers, symbols, relocations, types."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

OBJECTS = Path(__file__).parents[1] / "objects"
SEEDS = ("maps.o", "maps-eb.o", "calls.o", "calls-eb.o", "externs.o", "legacy.o", "legacy-eb.o")

_HEADER = ((16, 2), (18, 2), (20, 4), (24, 8), (32, 8), (40, 8), (48, 4), *((offset, 2) for offset in range(52, 64, 2)))
_SECTION_HEADER = ((0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8))
_SYMBOL = ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8))
_RELOCATION = ((0, 8), (8, 4), (12, 4))
_SHT_SYMTAB, _SHT_REL = 2, 9
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 16, 24, 31, 32, 64, 255, 256, 4095, 0x7FFF, 0x8000, 0xFFF1, 0xFFFF, 0x10000,
               1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63,
               (1 << 64) - 8, (1 << 64) - 1)  # fmt: skip


class Place(NamedTuple):
    """A number in the file that means something."""

    kind: str
    offset: int
    width: int


@dataclass(frozen=True)
class Seed:
    """A good object and the places where it can be damaged."""

    name: str
    data: bytes
    order: Literal["little", "big"]
    places: tuple[Place, ...]

    def edit(self, data: bytearray, place: Place, value: int) -> None:
        """Write a number at a place; places behind a truncation are left alone."""
        if place.offset + place.width <= len(data):
            number = value & (1 << 8 * place.width) - 1
            data[place.offset : place.offset + place.width] = number.to_bytes(place.width, self.order)


def load_seeds() -> list[Seed]:
    """Read every object that mutations start from."""
    return [_seed(OBJECTS / name) for name in SEEDS]


def mutate(seed: Seed, rng: random.Random) -> bytes:
    """Damage a copy of a seed in one to four places, at times truncate it or overwrite a run of bytes."""
    data = bytearray(seed.data)
    for _ in range(rng.randint(1, 4)):
        seed.edit(data, rng.choice(seed.places), number(rng))
    choice = rng.random()
    if choice < 0.05:
        del data[rng.randrange(len(data)) :]
    elif choice < 0.15:
        start = rng.randrange(len(data))
        data[start : start + rng.randint(1, 16)] = rng.randbytes(rng.randint(1, 16))
    return bytes(data)


def number(rng: random.Random) -> int:
    """Return a number of the kind that breaks parsers: a small one, a limit, or any."""
    choice = rng.random()
    if choice < 0.4:
        return rng.randrange(64)
    return rng.choice(INTERESTING) if choice < 0.8 else rng.getrandbits(64)


def _seed(path: Path) -> Seed:
    data = path.read_bytes()
    order = "little" if data[5] == 1 else "big"
    return Seed(path.name, data, order, tuple(_places(data, "<" if order == "little" else ">")))


def _places(data: bytes, order: str) -> Iterator[Place]:
    yield from (Place("header", offset, width) for offset, width in _HEADER)
    (table,) = struct.unpack_from(f"{order}Q", data, 40)
    count, names = struct.unpack_from(f"{order}HH", data, 60)
    (names_at,) = struct.unpack_from(f"{order}Q", data, table + 64 * names + 24)
    for start in range(table, table + 64 * count, 64):
        yield from (Place("section", start + offset, width) for offset, width in _SECTION_HEADER)
        name, type_ = struct.unpack_from(f"{order}II", data, start)
        offset, size = struct.unpack_from(f"{order}QQ", data, start + 24)
        text = data[names_at + name : data.index(b"\0", names_at + name)]
        if type_ == _SHT_SYMTAB:
            yield from _rows("symbol", offset, size, 24, _SYMBOL)
        elif type_ == _SHT_REL:
            yield from _rows("relocation", offset, size, 16, _RELOCATION)
        elif text in (b".BTF", b".BTF.ext"):
            yield from _rows("types", offset, size, 4, ((0, 4),))
        elif text.startswith((b"maps", b".maps", b"license", b"version", b".struct_ops")):
            yield from _rows("contents", offset, size, 4, ((0, 4),))
        elif type_ == 1 and size:
            yield from _rows("code", offset, size, 8, ((0, 1), (1, 1), (4, 4)))


def _rows(kind: str, start: int, size: int, stride: int, fields: tuple[tuple[int, int], ...]) -> Iterator[Place]:
    for row in range(start, start + size - stride + 1, stride):
        yield from (Place(kind, row + offset, width) for offset, width in fields)
