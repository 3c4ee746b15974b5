"""A plot of the ratios as SVG, written by hand: one group of bars a program, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1120, 80, 16, 84, 56
HEIGHT = 460
_COLOURS = (
    "#9aa0a6", "#0b6e4f", "#2a9d8f", "#8ab17d", "#e9c46a", "#f4a261", "#e76f51", "#b56576", "#6d597a", "#355070",
    "#0d1b2a",
)  # fmt: skip
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one colour: a value for each group, None where there is none."""

    name: str
    values: Sequence[float | None]


def plot(title: str, groups: Sequence[str], series: Sequence[Series]) -> str:
    """Return the SVG. Values are above 0; the bar of a value of 1 has no height, and lower ones hang down."""
    values = [value for one in series for value in one.values if value is not None]
    low, high = _decades(values)
    scale = _Scale(low, high)
    box = f"viewBox='0 0 {WIDTH} {HEIGHT}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {box} role='img' aria-label={quoteattr(title)}>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        _text(LEFT, 26, title, size=17, weight=600),
        *_legend([one.name for one in series]),
        *_grid(scale),
        *_bars(scale, groups, series),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a value between 10**low and 10**high to a height in the picture."""

    low: int
    high: int

    def y(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    logarithms = [math.log10(value) for value in values] or [0.0]
    # 1 is always in the picture: it is what everything is compared with.
    low, high = min(0, math.floor(min(logarithms))), max(1, math.ceil(max(logarithms)))
    return low, high


def _text(x: float, y: float, text: str, *, size: int = 12, weight: int = 400, anchor: str = "start") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {_FONT} font-size='{size}' font-weight='{weight}' "
        f"text-anchor='{anchor}' fill='#202124'>{escape(text)}</text>"
    )


def _legend(names: Sequence[str]) -> list[str]:
    parts, x = [], float(LEFT)
    for index, name in enumerate(names):
        parts.append(f"<rect x='{x:.1f}' y='44' width='12' height='12' fill='{_colour(index)}'/>")
        parts.append(_text(x + 17, 54, name))
        x += 34 + 7 * len(name)
    return parts


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _grid(scale: _Scale) -> list[str]:
    parts = []
    for exponent in range(scale.low, scale.high + 1):
        value = 10.0**exponent
        y, colour = scale.y(value), "#5f6368" if exponent == 0 else "#dadce0"
        parts.append(f"<line x1='{LEFT}' y1='{y:.1f}' x2='{WIDTH - RIGHT}' y2='{y:.1f}' stroke='{colour}'/>")
        parts.append(_text(LEFT - 8, y + 4, f"{value:,g}×", anchor="end"))
    return parts


def _bars(scale: _Scale, groups: Sequence[str], series: Sequence[Series]) -> list[str]:
    step = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    width = step * 0.84 / max(1, len(series))
    parts = []
    for place, group in enumerate(groups):
        left = LEFT + place * step + step * 0.08
        parts.append(_text(left + step * 0.42, HEIGHT - BOTTOM + 20, group, anchor="middle"))
        for index, one in enumerate(series):
            value = one.values[place]
            if value is not None:
                parts.append(_bar(scale, left + index * width, width, value, f"{group}, {one.name}", _colour(index)))
    return parts


def _bar(scale: _Scale, x: float, width: float, value: float, label: str, colour: str) -> str:
    top, bottom = sorted((scale.y(value), scale.y(1)))
    return (
        f"<rect x='{x:.1f}' y='{top:.1f}' width='{max(width - 1, 1):.1f}' height='{max(bottom - top, 1):.1f}' "
        f"fill='{colour}'><title>{escape(label)}: {value:.3g}×</title></rect>"
    )
