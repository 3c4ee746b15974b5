"""The demonstration, as a command and as a proof: both runtimes agree on every packet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dpkt
import pytest

from ebpf.cli.demo import demo_files, set_rules
from ebpf.objects import Collection
from ebpf.spec import CollectionSpec
from tests.privilege import missing_bpf_privilege

MOST_BYTES = 500_000


def ebpf(*args: str) -> str:
    ran = subprocess.run([sys.executable, "-m", "ebpf", *args], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def captured() -> list[bytes]:
    with demo_files() as (_, capture), capture.open("rb") as file:
        return [data for _, data in dpkt.pcap.Reader(file)]


class Outcome(NamedTuple):
    """All that a run over the capture leaves behind."""

    verdicts: list[int]
    packets: list[bytes]
    maps: dict[str, Any]
    variables: dict[str, int]
    events: list[bytes]


def outcome(runtime: str) -> Outcome:
    with demo_files() as (program, _):
        spec = CollectionSpec.from_file(program)
    with spec.load(runtime=runtime) as collection, collection.maps["events"].reader(raw=True) as reader:
        set_rules(collection)
        results = [collection.programs["firewall"].run(packet) for packet in captured()]
        return Outcome(
            [result.retval for result in results],
            [result.data for result in results],
            contents(collection),
            {name: variable.value for name, variable in collection.variables.items()},
            list(available(reader)),
        )


def available(reader: Any) -> Iterator[bytes]:
    while batch := reader.read_batch(timeout=0.1):
        yield from batch
        if reader._channels[0].cursor.ring.producer() == reader._channels[0].cursor.ring.consumer():
            return


def contents(collection: Collection) -> dict[str, Any]:
    protocols = collection.maps["protocols"]
    return {
        "rules": dict(collection.maps["rules"].items(raw=True)),
        "flows": dict(collection.maps["flows"].items(raw=True)),
        "protocols": [value.sum() for value in protocols],
    }


def test_both_runtimes_agree_on_every_packet() -> None:
    missing = missing_bpf_privilege()
    if missing is not None:
        pytest.skip(missing)

    embedded, linux = outcome("embedded"), outcome("linux")

    assert embedded.verdicts == linux.verdicts
    assert embedded.packets == linux.packets
    assert embedded.variables == linux.variables
    assert embedded.maps == linux.maps
    assert embedded.events == linux.events


def test_the_capture_and_the_program_do_something() -> None:
    found = outcome("embedded")
    changed = sum(before != after for before, after in zip(captured(), found.packets, strict=True))

    assert len(found.verdicts) >= 2000
    assert {1, 2} == set(found.verdicts)
    assert changed > 50
    assert len(found.maps["flows"]) > 100
    assert len(found.events) > 100
    assert sum(1 for total in found.maps["protocols"] if total) >= 4


def test_data_is_small() -> None:
    with demo_files() as paths:
        assert sum(path.stat().st_size for path in paths) <= MOST_BYTES


def test_demo_prints_tables() -> None:
    printed = ebpf("demo")

    for part in ("verdicts", "DROP", "rules", "flows", "events", "TCP", "on VLAN 42", "fe80::"):
        assert part in printed


def test_demo_writes_the_survivors(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"

    summary = json.loads(ebpf("demo", "--json", "--out", str(out)))

    with out.open("rb") as file:
        survivors = list(dpkt.pcap.Reader(file))
    assert len(survivors) == summary["verdicts"]["firewall"]["PASS"]
