"""The command line on the Linux kernel: what is attached runs, is listed, shown, dumped, and goes at Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from ebpf.link import raw_tracepoint
from ebpf.spec import CollectionSpec
from tests.command import FIREWALL, OBJECTS, TALK, WATCH, ebpf, spawn
from tests.linux.making import mounted

NOBODY = 65534
"""A user without privileges."""


def attached(process: subprocess.Popen[str]) -> str:
    """Wait until the run says that its programs are attached."""
    errors: IO[str] | None = process.stderr
    assert errors is not None
    for line in errors:
        if line.startswith("attached "):
            return line
    raise AssertionError("the run ended before it was attached")


@pytest.fixture
def watching(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Yield a run that counts the system calls of this process."""
    process = spawn("run", WATCH, "--set", f"process={os.getpid()}", *getattr(request, "param", ()))
    attached(process)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def ids(process: subprocess.Popen[str], noun: str, name: str) -> list[int]:
    """Return the ids of the objects of that name that this run holds, other tests' objects left aside."""
    held = set()
    for entry in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        facts = dict(line.split(":\t", 1) for line in entry.read_text().splitlines() if ":\t" in line)
        held |= {int(facts[key]) for key in (f"{noun}_id",) if key in facts}
    return [entry["id"] for entry in ebpf(noun, "list", "--json").json if entry["id"] in held and entry["name"] == name]


@pytest.mark.parametrize("watching", [("--json",)], indirect=True)
def test_interrupted_run_ends_well(watching: subprocess.Popen[str]) -> None:
    for _ in range(20):
        os.getppid()
    time.sleep(0.2)
    watching.send_signal(signal.SIGINT)
    output, errors = watching.communicate(timeout=20)

    documents = [json.loads(line) for line in output.splitlines()]
    calls = {row["key"]: row["value"] for row in documents[-1]["summary"]["maps"]["calls"]}
    assert (watching.returncode, errors) == (0, "")
    assert calls[110] >= 20  # getppid
    assert {"process": os.getpid(), "number": 110} in [
        {key: document["event"][key] for key in ("process", "number")} for document in documents[:-1]
    ]


def test_interrupted_run_prints_tables(watching: subprocess.Popen[str]) -> None:
    os.getppid()
    time.sleep(0.2)
    watching.send_signal(signal.SIGINT)
    output, _ = watching.communicate(timeout=20)

    assert watching.returncode == 0
    assert f"events: process={os.getpid()} number=110 command=" in output
    assert "map calls (Hash)" in output


def test_a_run_ends_by_itself() -> None:
    ran = ebpf("run", WATCH, "--duration", "0.3")

    assert ran.status == 0
    assert "attached watch to raw tracepoint sys_enter; ends after 0.3 s or by Ctrl-C" in ran.errors


def test_map(watching: subprocess.Popen[str]) -> None:
    (number,) = ids(watching, "map", "calls")
    os.getppid()

    shown, dumped = ebpf("map", "show", "id", number, "--json").json, ebpf("map", "dump", "id", number, "--json").json
    raw = ebpf("map", "dump", "id", number, "--raw", "--json").json

    assert shown == {
        "id": number,
        "name": "calls",
        "type": "Hash",
        "key_size": 4,
        "value_size": 8,
        "max_entries": 512,
        "flags": 0,
    }
    assert 110 in [row["key"] for row in dumped]
    assert "6e000000" in [row["key"] for row in raw]
    assert "map calls (Hash)" in ebpf("map", "dump", "id", number).output
    assert "max_entries  512" in ebpf("map", "show", "id", number).output


def test_ring_has_no_elements_to_list(watching: subprocess.Popen[str]) -> None:
    (number,) = ids(watching, "map", "events")

    ran = ebpf("map", "dump", "id", number)

    assert ran.status == 1
    assert ran.errors == "ebpf: map events of type RingBuf has no elements to list\n"


def test_program(watching: subprocess.Popen[str]) -> None:
    (number,) = ids(watching, "prog", "watch")

    shown, dumped = ebpf("prog", "show", "id", number, "--json").json, ebpf("prog", "dump", "id", number, "--json").json
    text = ebpf("prog", "dump", "id", number).output

    assert (shown["id"], shown["name"], shown["type"]) == (number, "watch", "RawTracepoint")
    assert shown["gpl_compatible"] is True
    assert len(shown["map_ids"]) == 4
    assert len(dumped["bytecode"]) == 2 * shown["xlated_size"]
    assert "map[calls] ll" in text
    assert "bpf_get_current_pid_tgid" in text
    assert any(line.split()[:2] == [str(number), "watch"] for line in ebpf("prog", "list").output.splitlines())


def test_link(watching: subprocess.Popen[str]) -> None:
    (program,) = ids(watching, "prog", "watch")
    (link,) = [found for found in ebpf("link", "list", "--json").json if found["prog_id"] == program]

    assert link["type"] == "RawTracepoint"
    assert link["details"]["tp_name"] == "sys_enter"
    assert ebpf("link", "show", "id", link["id"], "--json").json == link
    assert ebpf("link", "dump", "id", link["id"], "--json").json == link
    assert "tp_name=sys_enter" in ebpf("link", "show", "id", link["id"]).output


def test_btf(watching: subprocess.Popen[str]) -> None:
    (program,) = ids(watching, "prog", "watch")
    number = ebpf("prog", "show", "id", program, "--json").json["btf_id"]

    listed = {entry["id"]: entry for entry in ebpf("btf", "list", "--json").json}

    assert listed[1] == listed[1] | {"name": "vmlinux", "owner": "kernel"}
    assert listed[number]["owner"] == "user"
    assert ebpf("btf", "show", "id", number, "--json").json["kinds"]["Struct"] >= 1
    assert "struct event {" in ebpf("btf", "dump", "id", number, "event", "--format", "c").output


def test_kernels_own_types() -> None:
    assert "STRUCT 'task_struct'" in ebpf("btf", "dump", "vmlinux", "task_struct").output


def test_pinned_and_detached(tmp_path: Path) -> None:
    with mounted("bpf", tmp_path / "bpf") as place, CollectionSpec.from_file(WATCH).load(runtime="linux") as collection:
        link = raw_tracepoint(collection.programs["watch"], "sys_enter")
        link.pin(place / "link")
        collection.maps["calls"].pin(place / "calls")
        collection.programs["watch"].pin(place / "watch")

        assert ebpf("map", "show", "pinned", place / "calls", "--json").json["name"] == "calls"
        assert ebpf("prog", "show", "pinned", place / "watch", "--json").json["name"] == "watch"
        assert ebpf("link", "show", "pinned", place / "link", "--json").json["id"] == link.id
        assert ebpf("link", "detach", "pinned", place / "link").status == 0
        assert ebpf("link", "show", "pinned", place / "link", "--json").json["prog_id"] != 0
        link.close()


FAILURES = [
    (["run", FIREWALL, "--attach", "moon0"], "no network interface named 'moon0'"),
    (["run", WATCH, "--attach", "moon"], "no tracepoint is named 'moon'"),
    (["run", str(OBJECTS / "externs.o")], "ebpf: "),
    (["prog", "show", "id", "4294967295"], "nothing has the id 4294967295; see `ebpf prog list`"),
    (["map", "show", "name", "of the moon"], "nothing is named 'of the moon'; see `ebpf map list`"),
    (["link", "show", "id", "4294967295"], "nothing has the id 4294967295; see `ebpf link list`"),
    (["btf", "show", "name", "of the moon"], "no BTF objects are named 'of the moon'; see `ebpf btf list`"),
]


@pytest.mark.parametrize(("words", "text"), FAILURES, ids=[" ".join(words[-2:]) for words, _ in FAILURES])
def test_failure(words: list[str], text: str) -> None:
    ran = ebpf(*words)
    lines = [line for line in ran.errors.splitlines() if not line.startswith("runtime: linux")]

    assert (ran.status, ran.output) == (1, "")
    assert len(lines) == 1
    assert text in lines[0]


def unprivileged(*words: str) -> subprocess.Popen[str]:
    return spawn(*words, user=NOBODY, group=NOBODY, extra_groups=[])


@pytest.fixture
def _others_may_run_this(_privileged: None) -> None:
    """Skip where the interpreter or this checkout lies in a directory that only its owner may enter."""
    try:
        process = unprivileged("--version")
    except PermissionError:
        pytest.skip(f"an ordinary user may not run {sys.executable}")
    _, errors = process.communicate()
    if process.returncode:
        pytest.skip(f"an ordinary user may not read this checkout: {errors.splitlines()[-1]}")


@pytest.mark.usefixtures("_others_may_run_this")
@pytest.mark.parametrize("noun", ["prog", "map", "link", "btf"])
def test_ordinary_user_is_told_what_is_missing(noun: str) -> None:
    process = unprivileged(noun, "list")
    output, errors = process.communicate()

    assert (process.returncode, output) == (1, "")
    assert "run as root or give the process CAP_SYS_ADMIN" in errors
    assert errors.count("\n") == 1


def test_both_runtimes_print_the_same_summary() -> None:
    summaries = []
    for runtime in ("embedded", "linux"):
        ran = ebpf("run", FIREWALL, "--pcap", TALK, "--runtime", runtime, "--json")
        summaries.append(json.loads(ran.output.splitlines()[-1])["summary"])
    for summary in summaries:
        del summary["runtime"], summary["reason"]
        for rows in summary["maps"].values():
            rows.sort(key=json.dumps)
        for row in summary["maps"]["protocols"]:
            row["value"] = sum(row["value"])  # per CPU

    assert summaries[0] == summaries[1]
