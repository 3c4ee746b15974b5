"""The README's code does what it says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "src/ebpf/cli/data"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


CASES = [pytest.param(code, id=f"{page.stem}-{number}") for page in PAGES for number, code in enumerate(blocks(page))]


@pytest.mark.parametrize("code", CASES)
def test_python_blocks_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("firewall.o", "talk.pcap"):
        shutil.copy(DATA / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "<documentation>", "exec"), {})

    assert capsys.readouterr().out


def test_there_is_code_to_run() -> None:
    assert CASES


def test_linked_files_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
