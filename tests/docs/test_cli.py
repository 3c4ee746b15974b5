"""Pages of docs/ show what the command prints: every example is run and compared.

`$` commands run as they are, `#` ones need the privilege to call bpf(), `nobody$` ones drop root. `…` matches anything.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import DATA, OBJECTS, ROOT
from tests.privilege import missing_bpf_privilege

PAGES = (ROOT / "docs/cli.md", ROOT / "docs/native-images.md")
_ANY_LINES = r"(?:.*\n)*"
PROMPTS = ("$ ", "# ebpf", "nobody$ ")


def examples() -> Iterator[tuple[str, str]]:
    """Yield each command of the pages with its prompt, and what it prints."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        found: list[list[str]] = []
        for line in block.splitlines():
            if line.startswith(PROMPTS):
                found.append([line])
            else:
                found[-1].append(line)
        yield from ((first, "\n".join(rest)) for first, *rest in found)


EXAMPLES = list(examples())


def printed(command: str, directory: Path, **options: object) -> str:
    shell = command.replace("ebpf ", f"{shlex.quote(sys.executable)} -m ebpf ")
    ran = subprocess.run(
        ["sh", "-c", shell],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]  # user and group
    )
    return str(ran.stdout)


@pytest.mark.skipif(shutil.which("sh") is None, reason="the examples are lines for a shell: sh is missing")
@pytest.mark.parametrize(("line", "expected"), EXAMPLES, ids=[line for line, _ in EXAMPLES])
def test_example(line: str, expected: str, tmp_path: Path) -> None:
    prompt, _, command = line.partition(" ")
    for path in (DATA / "firewall.o", DATA / "talk.pcap", OBJECTS / "watch.o"):
        shutil.copy(path, tmp_path)
    missing = missing_bpf_privilege()
    if prompt == "#" and missing is not None:
        pytest.skip(missing)
    options: dict[str, object] = {}
    if prompt == "nobody$" and os.geteuid() == 0:
        options = {"user": 65534, "group": 65534, "extra_groups": []}
        if "ebpf, version" not in printed("ebpf --version", Path("/"), **options):
            pytest.skip("an ordinary user may not run this interpreter or read this checkout")

    output = printed(command, Path("/") if options else tmp_path, **options)

    assert matches(expected, output), output


def matches(expected: str, output: str) -> bool:
    """Compare, where `…` on a line of its own stands for any lines, elsewhere for any text of a line."""
    lines = (_ANY_LINES if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in expected.splitlines())
    return re.fullmatch("".join(lines), output.rstrip("\n") + "\n") is not None


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 15


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a … c", "a b c\n", True),
        ("a … c", "a b\nc\n", False),
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n…", "b\n", False),
        ("a (.*)", "a bc\n", False),
    ],
)
def test_matching(expected: str, output: str, same: bool) -> None:
    assert matches(expected, output) is same
