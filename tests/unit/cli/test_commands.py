"""What each command prints: help, tables for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dpkt
import pytest

from ebpf.cli.main import COMMANDS, cli
from tests.command import FIREWALL, OBJECTS, TALK, ebpf, spawn

EMBEDDED = ("--runtime", "embedded")
FEED = ("run", FIREWALL, "--pcap", TALK, *EMBEDDED)
CALLS = str(OBJECTS / "calls.o")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EVERY = list(commands(cli))


def test_every_noun_has_its_verbs() -> None:
    for noun in ("prog", "map", "link", "btf"):
        assert {(noun, verb) for verb in ("list", "show", "dump")} <= set(EVERY)
    assert {(verb,) for verb in ("run", "demo", "inspect", "asm", "disasm")} <= set(EVERY)
    assert ("vm", "conformance") in EVERY


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    ran = ebpf(*words, "--help")

    assert (ran.status, ran.errors) == (0, "")
    assert ran.output.startswith(f"Usage: ebpf {' '.join(words)} ")
    assert max(map(len, ran.output.splitlines())) <= 80


def test_a_group_says_the_same_of_itself_everywhere() -> None:
    context = click.Context(cli)
    for name, (_, _, line) in COMMANDS.items():
        group = cli.get_command(context, name)
        if isinstance(group, click.Group):
            assert group.help == line


def test_short_help_option_is_inherited() -> None:
    # In a process of its own: a command that ran outside its group remembers the options of then.
    assert spawn("prog", "dump", "-h").communicate()[0].startswith("Usage: ebpf prog dump ")


# run


def summary(ran: Any) -> Any:
    return json.loads(ran.output.splitlines()[-1])["summary"]


def test_run_prints_events_then_tables() -> None:
    ran = ebpf(*FEED)
    lines = ran.output.splitlines()

    assert (ran.status, ran.errors) == (0, "")
    assert lines[0].startswith("events: number=1 cause=CAUSE_NEW_FLOW length=110 flow={source={bytes=fe80")
    assert ["PASS", "2207", "100.0%"] in [line.split() for line in lines]
    assert ["packets", "2207"] in [line.split() for line in lines]
    assert "map rules (Hash) is empty" in lines
    assert "map flows (LRUHash)" in lines
    assert "… and more; `--json` prints all of flows" in lines
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_engine_is_chosen_by_name() -> None:
    printed = {engine: ebpf(*FEED, "--engine", engine).output for engine in ("auto", "reference")}
    assert printed["auto"] == printed["reference"]
    ran = ebpf(*FEED, "--engine", "fast")
    assert (ran.status, ran.output) == (2, "")
    assert "'fast' is not one of 'auto', 'reference', 'interpreter', 'jit', 'native'; see `ebpf run" in ran.errors


def test_struct_members_have_columns_of_their_own() -> None:
    lines = ebpf(*FEED).output.splitlines()
    header = lines[lines.index("map flows (LRUHash)") + 1]

    members = "source destination source_port destination_port vlan version protocol packets bytes first"
    assert header.split() == members.split()


def test_run_json_is_a_document_a_line() -> None:
    ran = ebpf(*FEED, "--json")
    documents = [json.loads(line) for line in ran.output.splitlines()]
    events, last = documents[:-1], documents[-1]["summary"]

    assert {event["map"] for event in events} == {"events"}
    assert events[0]["event"]["cause"] == "CAUSE_NEW_FLOW"
    assert set(last) == {"runtime", "reason", "verdicts", "variables", "maps", "lost_events"}
    assert last["runtime"] == "embedded"
    assert last["verdicts"] == {"firewall": {"PASS": 2207}}
    assert last["variables"] == {"report_new_flows": True, "packets": 2207, "malformed": 0, "lost_events": 0}
    assert set(last["maps"]) == {"rules", "flows", "protocols"}
    assert last["maps"]["protocols"][0] == {"key": 0, "value": [338]}
    assert len(events) == len(last["maps"]["flows"]) > 200


def test_set_changes_a_variable_before_the_load() -> None:
    ran = ebpf(*FEED, "--json", "--set", "report_new_flows=false", "--set", "packets=0x10")

    assert ran.output.count("\n") == 1
    assert summary(ran)["variables"]["packets"] == 2207 + 16


def test_survivors_are_written(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"

    ran = ebpf(*FEED, "--out", out)

    assert ran.status == 0
    with out.open("rb") as written, open(TALK, "rb") as fed:
        assert list(dpkt.pcap.Reader(written)) == list(dpkt.pcap.Reader(fed))


def test_survivors_never_take_the_place_of_what_is_read(tmp_path: Path) -> None:
    program, capture, link = tmp_path / "firewall.o", tmp_path / "talk.pcap", tmp_path / "link"
    shutil.copy(FIREWALL, program)
    shutil.copy(TALK, capture)
    link.symlink_to(capture)
    for out, what in ((capture, "the capture"), (link, "the capture"), (program, "the program's file")):
        ran = ebpf("run", program, "--pcap", capture, *EMBEDDED, "--out", out)
        assert (ran.status, ran.output) == (2, "")
        assert f"--out {out} would overwrite {what}: name another file" in ran.errors
    assert (program.read_bytes(), capture.read_bytes()) == (Path(FIREWALL).read_bytes(), Path(TALK).read_bytes())


def test_duration_ends_the_feeding(tmp_path: Path) -> None:
    long = tmp_path / "long.pcap"
    with open(TALK, "rb") as capture, long.open("wb") as file:
        packets = list(dpkt.pcap.Reader(capture)) * 50
        dpkt.pcap.Writer(file).writepkts(packets)

    ran = ebpf("run", FIREWALL, "--pcap", long, *EMBEDDED, "--json", "--duration", "0.2")

    assert ran.status == 0
    assert 0 < summary(ran)["variables"]["packets"] < len(packets)


def fed_by_a_pipe(data: bytes, output: Path, *options: object) -> subprocess.Popen[str]:
    """Start a run over what a pipe gives, and give it this; the pipe stays open."""
    words = ("run", FIREWALL, "--pcap", "-", *EMBEDDED, "--json", "--set", "report_new_flows=0", *options)
    with output.open("wb") as file:
        process = spawn(*words, stdin=subprocess.PIPE, stdout=file)
    assert process.stdin is not None
    process.stdin.buffer.write(data)
    process.stdin.flush()
    return process


@pytest.mark.parametrize("ends", [True, False], ids=["its-end", "the-duration"])
def test_packets_come_through_a_pipe(tmp_path: Path, ends: bool) -> None:
    out, printed = tmp_path / "out.pcap", tmp_path / "printed"
    process = fed_by_a_pipe(Path(TALK).read_bytes(), printed, "--out", out, *(() if ends else ("--duration", "2")))
    if not ends:
        assert process.wait(60) == 0  # while the pipe is open
    _, errors = process.communicate()

    assert (process.returncode, errors) == (0, "")
    assert json.loads(printed.read_text())["summary"]["verdicts"] == {"firewall": {"PASS": 2207}}
    assert out.read_bytes()[24:] == Path(TALK).read_bytes()[24:]


@pytest.mark.parametrize(("sent", "told"), [(0, "not a pcap or pcapng file"), (5000, "damaged capture: it ends")])
def test_a_pipe_that_is_cut_off(sent: int, told: str, tmp_path: Path) -> None:
    process = fed_by_a_pipe(Path(TALK).read_bytes()[:sent], tmp_path / "printed")
    _, errors = process.communicate()

    assert process.returncode == 1
    assert errors.startswith("ebpf: <stdin>")
    assert told in errors
    assert errors.count("\n") == 1


def test_a_capture_at_standard_input_is_not_its_own_sink(tmp_path: Path) -> None:
    capture = tmp_path / "talk.pcap"
    shutil.copy(TALK, capture)
    with capture.open("rb") as file:
        process = spawn(*FEED[:2], "--pcap", "-", *EMBEDDED, "--out", capture, stdin=file)
        _, errors = process.communicate()

    assert process.returncode == 2
    assert "is the capture itself, which would be lost: name another file" in errors
    assert capture.read_bytes() == Path(TALK).read_bytes()


def test_every_packet_program_is_fed_unless_one_is_named() -> None:
    both = ebpf("run", CALLS, "--pcap", TALK, *EMBEDDED, "--json")
    one = ebpf("run", CALLS, "--pcap", TALK, *EMBEDDED, "--json", "--program", "alone")

    assert set(summary(both)["verdicts"]) == {"alone", "first", "second"}
    assert set(summary(one)["verdicts"]) == {"alone"}


def test_many_verdicts_are_cut() -> None:
    ran = ebpf("run", CALLS, "--pcap", TALK, *EMBEDDED, "--program", "first")

    assert "more; `--json` prints all" in ran.output
    assert ran.output.splitlines().index("verdict  packets  share") < 5


def test_runtime_is_told_when_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPF_RUNTIME", "embedded")

    ran = ebpf("run", FIREWALL, "--pcap", TALK)

    assert ran.errors == "runtime: embedded (the environment variable EBPF_RUNTIME is embedded)\n"


def test_pinned_maps_need_a_place(tmp_path: Path) -> None:
    objects = str(OBJECTS / "maps.o")

    ran = ebpf("run", objects, "--pcap", TALK, *EMBEDDED, "--pin-path", tmp_path / "pins", "--json")

    assert ran.status == 0
    assert set(summary(ran)["verdicts"])


# demo


def test_demo_json() -> None:
    document = ebpf("demo", "--json").json

    assert document["verdicts"] == {"firewall": {"PASS": 2129, "DROP": 78}}
    assert document["events"] == 522
    assert sum(entry["value"]["hits"] for entry in document["maps"]["rules"]) == 238


def test_demo_fits_a_narrow_terminal() -> None:
    assert max(map(len, ebpf("demo").output.splitlines())) <= 100


# inspect, asm, disasm


def test_inspect_tables() -> None:
    ran = ebpf("inspect", FIREWALL)
    lines = [line.split() for line in ran.output.splitlines()]

    assert ["Programs"] in lines
    assert [
        "rules",
        "Hash",
        "struct",
        "rule_key",
        "(4",
        "bytes)",
        "struct",
        "rule",
        "(16",
        "bytes)",
        "64",
        "-",
        "none",
    ] in lines
    assert ["license", "Dual", "MIT/GPL"] in lines


@pytest.mark.parametrize("name", ["firewall", *(path.stem for path in sorted(OBJECTS.glob("*.o")))])
def test_inspect_and_disasm_json(name: str) -> None:
    path = FIREWALL if name == "firewall" else OBJECTS / f"{name}.o"

    inspected, disassembled = ebpf("inspect", path, "--json").json, ebpf("disasm", path, "--json").json

    assert set(inspected) == {"byte_order", "maps", "programs", "variables", "btf"}
    assert {name: program["bytecode"] for name, program in inspected["programs"].items()} == {
        name: program["bytecode"] for name, program in disassembled["programs"].items()
    }


def test_assembled_text_runs() -> None:
    assembled = ebpf("asm", stdin=b"r0 = 42; exit")
    ran = ebpf("vm", "conformance", stdin=assembled.raw)

    assert (ran.status, ran.output) == (0, "2a\n")


# btf, and the nouns of a kernel that has nothing


def test_btf_of_an_object() -> None:
    raw, c, document = (ebpf("btf", "dump", FIREWALL, "rule", *form) for form in ((), ("--format", "c"), ("--json",)))

    assert raw.output.splitlines()[0].endswith("STRUCT 'rule' size=16 vlen=3")
    assert "struct rule {\n\tenum action action;\n\t__u32 dscp;\n\t__u64 hits;\n};" in c.output
    assert [type_["name"] for type_ in document.json["types"]] == ["rule"]


@pytest.mark.parametrize("noun", ["prog", "map", "link"])
def test_listing_nothing(noun: str) -> None:
    # In a process of its own: this one's embedded kernel may hold what other tests pinned.
    table, document = spawn(noun, "list", *EMBEDDED), spawn(noun, "list", *EMBEDDED, "--json")

    assert json.loads(document.communicate()[0]) == []
    assert table.communicate()[0].split()[:1] == ["id"]
    assert (table.returncode, document.returncode) == (0, 0)


def test_listing_asks_the_machines_kernel_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a user that may not call bpf(): an empty list of an embedded kernel would be a lie.
    asked: list[str] = []
    monkeypatch.setattr("ebpf.objects.Map.iter_all", lambda *, runtime: asked.append(runtime) or iter(()))

    for variable in (None, "auto", "embedded"):
        if variable is not None:
            monkeypatch.setenv("EBPF_RUNTIME", variable)
        ebpf("map", "list")
    ebpf("map", "list", "--runtime", "linux")

    assert asked == ["linux", "linux", "embedded", "linux"]


def test_pipes_get_plain_text() -> None:
    output, _ = spawn("demo").communicate()

    assert "\x1b" not in output
