"""Tables, ratios and figures of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import document, speed
from benchmarks.engines import INTERPRETER, JIT, NATIVE, UBPF_INTERPRETER
from benchmarks.measure import Cell
from benchmarks.programs import BENCHMARKS, G8
from benchmarks.section import Figure, Section, figures_table
from benchmarks.table import Table, geomean, number


def test_geomean() -> None:
    assert geomean([2.0, 8.0]) == pytest.approx(4.0)
    assert geomean([5.0]) == pytest.approx(5.0)
    with pytest.raises(ValueError, match="no values"):
        geomean([])
    with pytest.raises(ValueError):  # noqa: PT011 - math.log's own, whose words differ between versions
        geomean([1.0, 0.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.0123"), (0, "0.00"),
     (-4.56, "-4.56"), (None, "-")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_ratio_of_cells_is_the_median_of_their_rounds() -> None:
    slow, fast = Cell((20.0, 400.0, 60.0)), Cell((10.0, 100.0, 20.0))

    assert slow.ns == 60.0
    assert slow.over(fast) == pytest.approx(3.0)
    assert slow.over(Cell(missing="not there")) is None
    assert Cell((20.0,), wrong="r0 1").over(Cell((10.0,))) is None
    assert Cell((-1.0,)).over(Cell((10.0,))) is None


def test_a_table_as_text_and_as_markdown() -> None:
    table = Table("Title", ("name", "n"), [("a", "1"), ("long name", "22")], ["a note"])

    assert table.text().splitlines() == [
        "Title", "", "name        n", "---------  --", "a           1", "long name  22", "  a note",
    ]  # fmt: skip
    assert table.markdown().splitlines()[2:6] == ["| name | n |", "|---|--:|", "| a | 1 |", "| long name | 22 |"]


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"),
    [(1.0, False, "met"), (1.1, False, "met"), (1.2, False, "missed"), (1.0, True, "missed"), (1.2, True, "met")],
)
def test_a_figure_says_whether_its_bar_is_met(value: float, at_least: bool, verdict: str) -> None:
    assert Figure("it", 1.1, "×", value, at_least=at_least).row()[3] == verdict


def test_a_figure_that_was_not_measured_says_why() -> None:
    figure = Figure("it", 1.1, "×", missing="no compiler; install one")

    assert figure.met is None
    assert figure.row() == ("it", "≤ 1.10×", "-", "not available: no compiler")


def grid() -> dict[str, dict[str, Cell]]:
    """Native 10 ns, the interpreter 100 ns, uBPF's 400 ns; no JIT."""
    row = {
        NATIVE.name: Cell((10.0,)),
        INTERPRETER.name: Cell((100.0,)),
        UBPF_INTERPRETER.name: Cell((400.0,)),
        JIT.name: Cell(missing="not built"),
    }
    return {benchmark.name: dict(row) for benchmark in BENCHMARKS}


def test_ratios_and_figures_of_a_run() -> None:
    section = speed.summarise(grid())

    assert not section.wrong
    by_name = {figure.name: figure for figure in section.figures}
    assert by_name["interpreter against native"].value == pytest.approx(10.0)
    assert by_name["interpreter faster than uBPF's"].value == pytest.approx(4.0)
    assert by_name["jit, checked, against native"].missing == "not built"
    ratios = {row[0]: row for row in section.tables[1].rows}
    assert ratios["geomean G8"] == ("geomean G8", "1.00", "10.0", "40.0")
    assert len(ratios) == len(BENCHMARKS) + 2
    assert "jit: not available: not built" in section.tables[0].notes


def test_a_ratio_is_the_geometric_mean_of_ratios() -> None:
    cells = grid()
    cells[G8[0]][INTERPRETER.name] = Cell((100.0 * 2**8,))

    assert speed.ratio(cells, G8, INTERPRETER, NATIVE) == pytest.approx(20.0)


def test_a_wrong_result_is_shown_and_counts_for_nothing() -> None:
    cells = grid()
    cells[G8[0]][INTERPRETER.name] = Cell((1.0,), wrong="r0 1; expected r0 2")

    section = speed.summarise(cells)

    assert section.wrong == [f"{G8[0]} on interpreter: r0 1; expected r0 2"]
    assert "WRONG" in next(row for row in section.tables[0].rows if row[0] == G8[0])
    assert speed.ratio(cells, G8, INTERPRETER, NATIVE) is None


def test_the_document_keeps_what_is_outside_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n", encoding="utf-8")
    table = Table("Title", ("name", "n"), [("a", "1")])

    document.rewrite(path, [Section("one", [table], [Figure("it", 1, "×", 2.0)])])

    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{document.BEGIN}\n")
    assert text.endswith(f"{document.END}\nafter\n")
    assert "| a | 1 |" in text
    assert "| it | ≤ 1.00× | 2.00× | missed |" in text
    assert "old" not in text


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.md"
    path.write_text("text", encoding="utf-8")

    with pytest.raises(ValueError, match="lacks the marks"):
        document.rewrite(path, [])
    assert path.read_text(encoding="utf-8") == "text"


def test_the_document_of_the_project_has_its_marks() -> None:
    text = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    assert text.count(document.BEGIN) == text.count(document.END) == 1


def test_all_figures_make_one_table() -> None:
    assert figures_table([Figure("it", 1, " ms", 0.5)]).rows == [("it", "≤ 1.00 ms", "0.500 ms", "met")]
