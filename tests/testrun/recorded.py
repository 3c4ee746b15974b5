"""What Linux 6.18 answered to every case, as digests, so that the embedded kernel is held to it where there is no root.

`python -m tests.testrun.recorded`, as root on that kernel, writes them again.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from tests.testrun import plain, skb_bytes, skb_fields, skb_shape, text, xdp
from tests.testrun.case import Case, Outcome

CASES: dict[str, list[Case]] = {
    "plain": plain.CASES,
    "skb_bytes": skb_bytes.CASES,
    "skb_fields": skb_fields.CASES,
    "skb_shape": skb_shape.CASES,
    "text": text.CASES,
    "xdp": xdp.CASES,
}
"""Subject → cases, in the order of the digests."""

PATH = Path(__file__).with_name("recorded.json")


def digest(outcome: Outcome) -> str:
    """Return what is kept of an outcome."""
    return sha256(repr(outcome).encode()).hexdigest()[:12]


def load() -> dict[str, list[str]]:
    """Return subject → digests."""
    recorded: dict[str, list[str]] = json.loads(PATH.read_text())
    return recorded


def _record() -> None:
    import ebpf.runtime
    from tests.testrun.case import on

    kernel = ebpf.runtime.linux()
    found = {subject: [digest(on(kernel, case)) for case in cases] for subject, cases in CASES.items()}
    PATH.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    _record()
