"""The public conformance suite's test files (`*.data` of bpf_conformance): what they say, and whether it holds.

A line with `--` begins a section, `#` a comment. `asm` (or `raw`: one number of 64 bits an instruction) is the
program, `mem` the memory in r1, `result` what r0 must be, `error` says that the program must be refused or fault.
Each line of `map` is a map: name, type, size of the key and the value in bytes, most entries. A program with maps has
the helpers of Linux instead of the protocol's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ebpf.abi.types import MapType
from ebpf.errors import AsmError, NotSupportedError, ProgramFault
from ebpf.vm import M32, M64
from ebpf.vm.conformance import parse_hex, run_instructions
from ebpf.vm.machine import DEFAULT_BUDGET
from ebpf.vm.maps import MapShape
from ebpf.vm.maps.create import check_shape, check_template
from ebpf.vm.suiteasm import assemble_suite

_SECTIONS = ("asm", "result", "mem", "raw", "no register offset", " c", "error", "map")
"""What a line with `--` may name; the first that it contains counts. The fifth and sixth are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteCase:
    """A test file: `code` run with `memory` gives `result`, or goes wrong where `fails` says so.

    `maps` are empty at first; `code` names them by their numbers, from 1.
    """

    name: str
    code: bytes
    memory: bytes
    result: int
    fails: bool
    maps: tuple[MapShape, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a test file: `state` is "passed", "failed" or "skipped", `reason` why it did not pass."""

    name: str
    state: str
    reason: str = ""


def parse_case(name: str, text: str) -> SuiteCase:
    """Read a test file.

    Raises:
        NotSupportedError: it has a section that is not known here.
        AsmError: it is no test file, or its program can't be assembled.
    """
    sections = _sections(text)
    if not sections.get("result") and "error" not in sections:
        raise AsmError("the file has neither a result nor an error")
    maps = tuple(map(_map, sections.get("map", ())))
    names = [shape.name for shape in maps]
    code = _raw(sections["raw"]) if sections.get("raw") else assemble_suite("\n".join(sections.get("asm", ())), names)
    if not code:
        raise AsmError("the file has no instructions")
    return SuiteCase(
        name=name,
        code=code,
        memory=parse_hex(" ".join(sections.get("mem", ()))),
        result=_number((sections.get("result") or ["0"])[-1]),
        fails="error" in sections,
        maps=maps,
    )


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []  # what stands before the first section
    for line in text.splitlines():
        content = line.partition("#")[0].rstrip()
        if "--" in content:
            name = next((name for name in _SECTIONS if name in content), None)
            if name is None:
                raise NotSupportedError(f"section {content!r} of a test file", alternative="leave the file out")
            lines = found.setdefault(name, [])
        elif content:
            lines.append(content)
    return found


def _map(line: str) -> MapShape:
    name, *facts = line.split()
    if len(facts) != 4 or not all(fact.isdecimal() for fact in facts):
        raise AsmError(f"expected a map's name, type, key size, value size and most entries, found {line!r}")
    type_, key_size, value_size, max_entries = map(int, facts)
    shape = MapShape(MapType(type_), key_size, value_size, max_entries, name=name)
    if max(key_size, value_size, max_entries) > M32 or check_shape(shape) or check_template(shape):
        raise AsmError(f"no map can have this type and these sizes: {line!r}")
    return shape


def _number(text: str) -> int:
    try:
        return int(text, 16 if "0x" in text else 10) & M64
    except ValueError:
        raise AsmError(f"expected a number of 64 bits, found {text.strip()!r}") from None


def _raw(lines: list[str]) -> bytes:
    return b"".join(_number(word).to_bytes(8, "little") for line in lines for word in line.split())


def run_case(case: SuiteCase, *, engine: str = "auto", budget: int = DEFAULT_BUDGET) -> Verdict:
    """Run one test on an engine. Raises NotSupportedError when there is no such engine here."""
    try:
        found = run_instructions(case.code, case.memory, maps=case.maps, budget=budget, engine=engine)
    except (AsmError, ProgramFault) as error:
        return Verdict(case.name, "passed") if case.fails else Verdict(case.name, "failed", str(error))
    if case.fails:
        return Verdict(case.name, "failed", f"expected an error, r0 is {found:#x}")
    if found != case.result:
        return Verdict(case.name, "failed", f"expected {case.result:#x}, r0 is {found:#x}")
    return Verdict(case.name, "passed")


def run_suite(directory: Path, *, engine: str = "auto") -> Iterator[Verdict]:
    """Run every test file of a directory in the order of their names; files with sections unknown here are skipped.

    What can't be read (a directory, say) is a test that failed.

    Raises:
        NotSupportedError: there is no such engine here.
        OSError: the directory has no test files.
    """
    paths = sorted(directory.glob("*.data"))
    if not paths:
        raise FileNotFoundError(f"no *.data files in {directory}")
    for path in paths:
        try:
            # What is no text has no section either: that is a test which failed, not the end of the suite.
            case = parse_case(path.stem, path.read_text(encoding="utf-8", errors="replace"))
        except NotSupportedError as error:
            yield Verdict(path.stem, "skipped", str(error))
        except AsmError as error:
            yield Verdict(path.stem, "failed", str(error))
        except OSError as error:
            yield Verdict(path.stem, "failed", f"it can't be read: {error.strerror}")
        else:
            yield run_case(case, engine=engine)
