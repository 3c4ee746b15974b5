"""What the command says when something is wrong: one line with cause and remedy, status 1 or 2, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import FIREWALL, OBJECTS, TALK, WATCH, ebpf, spawn

CALLS = str(OBJECTS / "calls.o")
MAPS = str(OBJECTS / "maps.o")
LEGACY = str(OBJECTS / "legacy-eb.o")

WRONG_USAGE = [
    (["frob"], "No such command 'frob'; see `ebpf --help`"),
    (["prog", "frob"], "No such command 'frob'; see `ebpf prog --help`"),
    (["inspect"], "Missing argument 'FILE'"),
    (["inspect", "--frob", FIREWALL], "No such option"),
    (["run", FIREWALL], "program firewall needs a network interface: give --attach firewall=TARGET, or --pcap FILE"),
    (["run", FIREWALL, "--runtime", "moon"], "'moon' is not one of"),
    (["run", FIREWALL, "--runtime", "embedded"], "feed packets with --pcap FILE"),
    (["run", FIREWALL, "--engine", "moon"], "'moon' is not one of"),
    (["run", FIREWALL, "--out", "x"], "give --pcap too"),
    (["run", FIREWALL, "--pcap", TALK, "--program", "moon"], "no program 'moon' in the object; it has firewall"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "moon=1"], "no variable 'moon' in the object; it has report_new_flows"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "packets"], "--set expects VAR=VALUE, got 'packets'"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "packets=full"], "--set packets: Int"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "report_new_flows=7"], "a _Bool is true, false, 0 or 1, got 7"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "report_new_flows=yes"], "a _Bool is true, false, 0 or 1, got yes"),
    (["run", FIREWALL, "--pcap", TALK, "--out", "-"], "--out -: standard output has what the command"),
    (["demo", "--out", "-"], "--out -: standard output has what the command"),
    (["gen", "native", FIREWALL, "-o", "-"], "-o -: standard output has what the command prints: name a file"),
    (["run", str(OBJECTS / "calls.o"), "--pcap", "-"], "--pcap of a pipe is for one program; choose it with"),
    (["vm", "conformance", "--program", "95", "--engine", "native"], "'native' is not one of 'auto', 'ref"),
    (["run", FIREWALL, "--pcap", TALK, "--set", "packets=-1"], "-1 is out of range, 0 to 18446744073709551615 fit"),
    (["run", FIREWALL, "--pcap", TALK, "--type", "flows=event"], "'flows' is no ring of the object; it has events"),
    (["run", FIREWALL, "--pcap", TALK, "--type", "events=moon"], "the object's BTF has no type 'moon'"),
    (["run", FIREWALL, "--pcap", TALK, "--type", "events"], "--type expects NAME=VALUE, got 'events'"),
    (["run", FIREWALL, "--attach", "moon=lo"], "no program 'moon' is loaded; there are firewall"),
    (["run", CALLS, "--attach", "lo"], "say which program, NAME=lo"),
    (["run", CALLS, "--pcap", TALK, "--out", "x"], "--out is for one program; choose it with --program"),
    (["run", WATCH, "--pcap", TALK], "has no program that packets can be fed to"),
    (["run", MAPS, "--pcap", TALK], "map typed is pinned by name: give --pin-path DIR"),
    (["run", FIREWALL, "--pcap", TALK, "--duration", "0"], "--duration"),
    (["map", "show", "id"], "expected id N or pinned PATH or name NAME, got 'id'"),
    (["prog", "dump", "tag", "1"], "expected id N or pinned PATH or name NAME, got 'tag 1'"),
    (["prog", "show", "id", "moon"], "expected a number of 32 bits after id, got 'moon'"),
    (["prog", "show", "id", "0x100000000"], "expected a number of 32 bits after id"),
    (["link", "show", "name", "x"], "expected id N or pinned PATH, got 'name x'"),
    (["btf", "show", "pinned", "x"], "expected id N or name NAME, got 'pinned x'"),
    (["btf", "dump"], "Missing argument"),
    (["asm", "--json", "-o", "x"], "leave out -o and --format"),
    (["disasm", "--program", "x", TALK], "--program selects from an object file, and this is none"),
    (["vm", "conformance", "--program", "b7", "--jit", "--interpret"], "--jit and --interpret name two engines"),
    (["vm", "conformance", "--suite", ".", "--program", "b7"], "leave out --program and MEMORY_HEX"),
    (["vm", "conformance", "--suite", ".", "b7"], "leave out --program and MEMORY_HEX"),
]  # fmt: skip

FAILURES = [
    (["run", "moon.o", "--pcap", TALK], "moon.o: No such file or directory"),
    (["run", TALK, "--pcap", TALK], "not an ELF file: it begins with d4 c3 b2 a1"),
    (["run", FIREWALL, "--pcap", "moon.pcap", "--runtime", "embedded"], "ebpf: moon.pcap: "),
    (["run", FIREWALL, "--pcap", FIREWALL, "--runtime", "embedded"], "not a pcap or pcapng file"),
    (["run", FIREWALL, "--pcap", TALK, "--out", "no/x", "--runtime", "embedded"], "no/x: No such file or directory"),
    (["run", LEGACY, "--pcap", TALK, "--program", "first", "--runtime", "embedded"], "big-endian"),
    (["demo", "--out", "no/x"], "no/x: No such file or directory"),
    (["inspect", "moon.o"], "moon.o: No such file or directory"),
    (["inspect", "."], "ebpf: .: "),
    (["inspect", TALK], "not an ELF file"),
    (["disasm", "moon.o"], "moon.o: No such file or directory"),
    (["disasm", FIREWALL, "--program", "moon"], "the object file has no program moon; it has firewall"),
    (["asm", "moon.s"], "moon.s: No such file or directory"),
    (["btf", "dump", "moon"], "moon: No such file or directory"),
    (["btf", "dump", TALK], "neither an object file nor BTF"),
    (["btf", "dump", FIREWALL, "moon"], "no type is named 'moon'"),
    (["btf", "dump", str(OBJECTS / "legacy.o")], "has no BTF; compile with -g"),
    (["prog", "show", "id", "1", "--runtime", "embedded"], "nothing has the id 1; see `ebpf prog list`"),
    (["map", "dump", "id", "1", "--runtime", "embedded"], "nothing has the id 1; see `ebpf map list`"),
    (["map", "dump", "name", "x", "--runtime", "embedded"], "nothing is named 'x'; see `ebpf map list`"),
    (["link", "detach", "id", "1", "--runtime", "embedded"], "nothing has the id 1; see `ebpf link list`"),
    (["btf", "show", "id", "9", "--runtime", "embedded"], "nothing has the id 9; see `ebpf btf list`"),
    (["prog", "show", "pinned", "/nowhere/x", "--runtime", "embedded"], "ENOENT"),
    (["vm", "conformance", "--program", "b7"], "8 bytes, found 1"),
    (["vm", "conformance", "--program", "moon"], "expected, as in `b7 00 00 00 2a 00 00 00`, found 'moon'"),
    (["vm", "conformance", "--program", "b7 0x"], "found '0x'"),
    (["vm", "conformance", "--program", "b7000"], "found an odd number of digits"),
]  # fmt: skip


def names(cases: list[tuple[list[str], str]]) -> list[object]:
    shown = ((" ".join(Path(word).name for word in words), words, text) for words, text in cases)
    return [pytest.param(words, text, id=name) for name, words, text in shown]


@pytest.mark.parametrize(("words", "text"), names(WRONG_USAGE))
def test_wrong_usage(words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    ran = ebpf(*words)

    assert (ran.status, ran.output) == (2, "")
    assert text in ran.errors
    assert ran.errors.count("\n") == 1
    assert "--help`" in ran.errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "text"), names(FAILURES))
def test_failure(words: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    ran = ebpf(*words)

    assert (ran.status, ran.output) == (1, "")
    assert text in ran.errors
    assert ran.errors.startswith("ebpf: ")
    assert ran.errors.count("\n") == 1


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback_wherever_it_stands(place: int) -> None:
    words = ["btf", "dump", TALK]

    process = spawn(*words[:place], "--debug", *words[place:])
    output, errors = process.communicate()

    assert (process.returncode, output) == (1, "")
    assert "Traceback" in errors
    assert errors.rstrip().splitlines()[-1].startswith("ebpf.errors.BtfError: ")


def test_debug_logs_system_calls() -> None:
    process = spawn("--debug", "demo", "--json")
    output, errors = process.communicate()

    assert process.returncode == 0
    assert "MAP_CREATE" in errors
    assert "PROG_LOAD" in errors
    assert output.startswith("{")


def test_environment_names_an_unknown_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPF_RUNTIME", "moon")

    ran = ebpf("map", "list")

    assert ran.status == 2
    assert "EBPF_RUNTIME is 'moon'; set auto, linux or embedded" in ran.errors


def test_reader_of_a_pipe_goes_away() -> None:
    # Larger than a pipe's buffer, so that the command is still writing when the reader leaves.
    process = spawn("run", FIREWALL, "--pcap", TALK, "--runtime", "embedded", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()

    assert process.wait() == 1
    assert errors == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_output_on_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        process = spawn("inspect", FIREWALL, stdout=full)
        _, errors = process.communicate()

    assert process.returncode == 1
    assert errors == "ebpf: No space left on device\n"


def test_output_that_lacks_the_characters() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = spawn("run", FIREWALL, "--pcap", TALK, "--runtime", "embedded", env=environment)
    output, errors = process.communicate()

    assert (process.returncode, errors) == (0, "")
    assert r"\u2026 and more" in output


def test_alone_it_helps() -> None:
    ran = ebpf()

    assert "Usage: ebpf" in ran.output + ran.errors
    assert ran.status in (0, 2)  # click 8.2 made it a usage error


def test_python_m_ebpf_is_the_command() -> None:
    process = spawn("--version")

    assert process.communicate()[0].startswith("ebpf, version ")
