"""Runs the `ebpf` command: in this process, where it is quick, or as one of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from ebpf.cli import main

ROOT = Path(__file__).parents[1]
DATA = ROOT / "src/ebpf/cli/data"
OBJECTS = ROOT / "tests/objects"
FIREWALL = str(DATA / "firewall.o")
TALK = str(DATA / "talk.pcap")
WATCH = str(OBJECTS / "watch.o")


class Ran(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    raw: bytes
    errors: str

    @property
    def output(self) -> str:
        return _text(self.raw)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


def ebpf(*arguments: object, stdin: bytes = b"") -> Ran:
    """Run the command in this process; neither stream is a terminal."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    source = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", errors="surrogateescape")
    status: Any = 0
    with redirect_stdout(output), redirect_stderr(errors), patch.object(sys, "stdin", source):
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            status = end.code
    return Ran(status, _bytes(output), _text(_bytes(errors)))


def spawn(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start the command as a process of its own, with pipes to it unless told otherwise."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "ebpf", *map(str, arguments)], text=True, **(pipes | options))


def _text(raw: bytes) -> str:
    return raw.decode().replace("\r\n", "\n")


def _bytes(stream: io.TextIOWrapper) -> bytes:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()
