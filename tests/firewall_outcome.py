"""All that the demonstration's firewall leaves behind, for comparison; as a command, what an image of it leaves.

    python -m tests.firewall_outcome IMAGE

Nothing but the package's own dependencies is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ebpf.cli.demo import set_rules
from ebpf.errors import DeadlineExceeded
from ebpf.objects import Collection

TALK = Path(__file__).parents[1] / "src/ebpf/cli/data/talk.pcap"


def outcome(collection: Collection) -> dict[str, Any]:
    """Run over the capture with the demonstration's rules; packets and events are hashed, so that JSON can hold it."""
    set_rules(collection)
    maps: Any = collection.maps
    events: list[str] = []
    with maps["events"].reader(raw=True) as reader:
        done = collection.programs["firewall"].run_many(str(TALK))
        with contextlib.suppress(DeadlineExceeded):
            while batch := reader.read_batch(timeout=0.05):
                events += [bytes(event).hex() for event in batch]
    return {
        "verdicts": done.retvals.tolist(),
        "packets": [hashlib.sha256(packet).hexdigest() for packet in done.data],
        "events": events,
        "variables": {name: variable.value for name, variable in collection.variables.items()},
        **{name: _contents(maps[name]) for name in ("rules", "flows", "protocols")},
    }


def _contents(map_: Any) -> list[list[str]]:
    rows = []
    for key, value in map_.items(raw=True):
        copies = [value] if isinstance(value, bytes) else value
        rows.append([str(key), *(copy.hex() for copy in copies)])
    return sorted(rows)


def main() -> None:
    """Print the outcome of an image, its engine, and which optional packages this Python has."""
    with Collection.load_native(sys.argv[1], allow_unsigned=True) as collection:
        engine = collection.programs["firewall"].engine
        sys.stdout.write(json.dumps({"engine": engine, "outcome": outcome(collection), "packages": _optional()}))


def _optional() -> list[str]:
    found = []
    for name in ("llvmlite", "cryptography", "numpy"):
        with contextlib.suppress(ImportError):
            __import__(name)
            found.append(name)
    return found


if __name__ == "__main__":
    main()
