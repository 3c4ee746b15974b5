"""`ebpf demo`: a real program over real packets, with nothing but this package."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebpf.cli.files import refuse_standard_output
from ebpf.cli.output import echo_json, heading, table
from ebpf.cli.summary import print_verdicts, summarise
from ebpf.link import PacketsLink, packets
from ebpf.spec import CollectionSpec

if TYPE_CHECKING:
    from ebpf.objects import Collection

_PASS, _DROP, _MARK = range(3)
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 0: "hop-by-hop"}
_EXPEDITED = 46
RULES = [
    ("drop every ping", {"protocol": 1, "port": 0}, {"action": _DROP, "dscp": 0}),
    ("drop TCP to port 81", {"protocol": 6, "port": 81}, {"action": _DROP, "dscp": 0}),
    ("mark DNS as expedited", {"protocol": 17, "port": 53}, {"action": _MARK, "dscp": _EXPEDITED}),
]
SHOWN = 10


@click.command()
@click.option(
    "--runtime",
    type=click.Choice(["embedded", "linux", "auto"]),
    default="embedded",
    show_default=True,
    help="What executes the program; linux needs root.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="Write the packets that survive to this capture.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(*, runtime: str, out: str | None, as_json: bool) -> None:
    """Run a firewall and flow meter, an XDP program in C, over packets that real programs exchanged."""
    if out is not None:
        refuse_standard_output(Path(out), option="--out")
    with demo_files() as (program, capture):
        spec = CollectionSpec.from_file(program)
        with spec.load(runtime=runtime) as collection:
            set_rules(collection)
            with collection.maps["events"].reader() as reader:  # type: ignore[attr-defined]  # a ring buffer has it
                started = time.perf_counter()
                with packets(collection.programs["firewall"], capture, sink=out) as feed:
                    events = list(reader)
                    feed.wait()
                seconds = time.perf_counter() - started
            if as_json:
                echo_json(summarise(collection, {"firewall": feed.verdicts}, lost=0) | {"events": len(events)})
                return
            _print(collection, feed, events, seconds)


@contextmanager
def demo_files() -> Iterator[tuple[Path, Path]]:
    """Yield the paths of the demonstration's object and capture, wherever the package is installed."""
    data = resources.files("ebpf.cli") / "data"
    with resources.as_file(data / "firewall.o") as program, resources.as_file(data / "talk.pcap") as capture:
        yield program, capture


def set_rules(collection: Collection) -> None:
    """Write the demonstration's rules into the rule map."""
    rules: Any = collection.maps["rules"]
    rules.update({rules.key_type(**key, unused=0): rules.value_type(**rule, hits=0) for _, key, rule in RULES})


def _print(collection: Collection, feed: PacketsLink, events: list[Any], seconds: float) -> None:
    runtime = collection.runtime
    where = "in this process" if runtime.name == "embedded" else "in the Linux kernel"
    heading(f"firewall.o ran {where} over {feed.processed} packets, in {seconds:.2f} s")
    click.echo("an XDP program that clang compiled from C; the packets are those of real programs that talked")
    print_verdicts("\nverdicts", feed.verdicts)
    rules: Any = collection.maps["rules"]
    hits = [(text, rules[rules.key_type(**key, unused=0)].hits) for text, key, _ in RULES]
    table("\nrules (a hash map)", ("rule", "hits"), hits)
    _print_flows(collection)
    _print_events(events)
    _print_protocols(collection)


def _print_flows(collection: Collection) -> None:
    flows: Any = collection.maps["flows"]
    largest = sorted(flows.items(), key=lambda item: (-item[1].bytes, item[1].first))
    rows = [(_flow(key), value.packets, value.bytes) for key, value in largest[:SHOWN]]
    table(f"\nflows (an LRU hash map): the largest of {len(largest)}", ("flow", "packets", "bytes"), rows)


def _print_events(events: list[Any]) -> None:
    rows = [(event.number, event.cause.name.removeprefix("CAUSE_").lower(), _flow(event.flow)) for event in events]
    table(f"\nevents (a ring buffer): the first of {len(rows)}", ("packet", "event", "flow"), rows[:SHOWN])


def _print_protocols(collection: Collection) -> None:
    protocols: Any = collection.maps["protocols"]
    totals = [(number, value.sum()) for number, value in protocols.items()]
    rows = [(_PROTOCOLS.get(number, number), total) for number, total in totals if total]
    table("\nbytes by protocol (a per-CPU array)", ("protocol", "bytes"), rows)


def _flow(key: Any) -> str:
    source, destination = (_address(end, key.version) for end in (key.source, key.destination))
    protocol = _PROTOCOLS.get(key.protocol, str(key.protocol))
    vlan = f" on VLAN {key.vlan}" if key.vlan else ""
    if key.source_port or key.destination_port:
        return f"{protocol} {source}.{key.source_port} > {destination}.{key.destination_port}{vlan}"
    return f"{protocol} {source} > {destination}{vlan}"


def _address(address: Any, version: int) -> str:
    return str(ipaddress.ip_address(bytes(address.bytes)[: 4 if version == 4 else 16]))
