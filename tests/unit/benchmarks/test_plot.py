"""The plot is well-formed SVG that shows each value as a bar of the right height."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.plot import HEIGHT, WIDTH, Series, plot

SVG = "{http://www.w3.org/2000/svg}"


def bars(picture: str) -> dict[str, tuple[float, float, float, float]]:
    """Return x, y, width and height by title."""
    found = {}
    for rectangle in ElementTree.fromstring(picture).iter(f"{SVG}rect"):
        title = rectangle.find(f"{SVG}title")
        if title is not None and title.text is not None:
            x, y, width, height = (float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
            found[title.text] = (x, y, width, height)
    return found


def test_bars_grow_with_the_logarithm_from_one() -> None:
    drawn = bars(plot("Title", ("a", "b"), [Series("fast", (0.1, 10.0)), Series("slow", (100.0, None))]))

    assert set(drawn) == {"a, fast: 0.1×", "b, fast: 10×", "a, slow: 100×"}
    decade = drawn["b, fast: 10×"][3]
    assert drawn["a, slow: 100×"][3] == pytest.approx(2 * decade, abs=0.2)
    assert drawn["a, fast: 0.1×"][3] == pytest.approx(decade, abs=0.2)
    one = drawn["b, fast: 10×"][1] + decade
    assert drawn["a, fast: 0.1×"][1] == pytest.approx(one, abs=0.2)  # it hangs down from 1


def test_everything_is_inside_the_picture() -> None:
    many = [Series(f"engine {index}", [3.0**index] * 14) for index in range(9)]

    for x, y, width, height in bars(plot("Title", [str(index) for index in range(14)], many)).values():
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= HEIGHT


def test_text_is_escaped() -> None:
    picture = plot("<&'\">", ("<a>",), [Series("&b", (2.0,))])

    texts = [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    assert "<&'\">" in texts
    assert "<a>" in texts
    assert "&b" in texts


def test_a_plot_of_nothing() -> None:
    ElementTree.fromstring(plot("Title", (), []))
