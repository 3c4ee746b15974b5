"""Other user-space engines: rbpf and uBPF, from their crates, each a process that runs programs on demand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.errors import Missing
from benchmarks.subject import Outcome
from benchmarks.toolchain import BUILD, HERE


@dataclass(frozen=True, slots=True)
class Peer:
    """A project of peers/. `needs` are the commands that building it takes, `features` those of the project."""

    name: str
    needs: tuple[str, ...]
    features: tuple[str, ...] = ()

    @property
    def program(self) -> Path:
        """Where building puts the program."""
        return BUILD / "-".join(("peers", *self.features)) / "release" / f"peer-{self.name}"


RBPF = Peer("rbpf", ("cargo",))
CRANELIFT = Peer("rbpf", ("cargo",), ("cranelift",))
"""Apart from RBPF, which has to be there where Cranelift can't be built."""
UBPF = Peer("ubpf", ("cargo", "cmake", "cc"))
"""Its crate binds the vendored C through libclang, too, which is found by the build alone."""


class PeerSubject:
    """A program in a peer's process; satisfies Subject. `compile_ns` is what loading and compiling took."""

    def __init__(self, peer: Peer, engine: str, bytecode: bytes, packet: bytes) -> None:
        """Start it. Raises Missing where the peer can't be built or refuses the program."""
        command = [str(build(peer)), engine]
        with tempfile.TemporaryDirectory() as directory:
            for name, contents in (("bytecode", bytecode), ("packet", packet)):
                path = Path(directory) / name
                path.write_bytes(contents)
                command.append(str(path))
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"RUST_BACKTRACE": "0"},
            )
            self.compile_ns = int(self._answer())

    def outcome(self) -> Outcome:
        """Run once."""
        retval = int(self._ask("1").split()[0])
        return Outcome((retval,), bytes.fromhex(self._ask("packet")))

    def warm(self) -> None:
        """Nothing: it has no tiers."""

    def sample(self, repeat: int) -> float:
        """Run in the peer's own loop, which takes the time itself."""
        return int(self._ask(str(repeat)).split()[1]) / repeat

    def close(self) -> None:
        """End the process."""
        with self.process:
            pass

    def _ask(self, question: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return line
        lines = self.process.communicate()[1].strip().splitlines()
        said = [line for line in lines if line and not line.startswith(("thread", "note:"))]
        raise Missing(f"it does not run the program: {' '.join(said) or _status(self.process.returncode)}")


def _status(code: int) -> str:
    return f"it ends with {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def build(peer: Peer) -> Path:
    """Build a peer with cargo, of the versions that its manifest names; return the program. Raises Missing."""
    why = _obstacle(peer)
    if why:
        raise Missing(why)
    return peer.program


@cache
def _obstacle(peer: Peer) -> str:
    """Build a peer once; return why it can't be had, "" where it can."""
    missing = [command for command in peer.needs if shutil.which(command) is None]
    if missing:
        return f"building {peer.name} takes {' and '.join(missing)}, not installed"
    command = ["cargo", "build", "--release", "--quiet", f"--features={','.join(peer.features)}"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(peer.program.parents[1])}
    if not peer.program.exists():
        print(f"building {' with '.join((peer.name, *peer.features))}, once", file=sys.stderr, flush=True)
    project = HERE / "peers" / peer.name
    built = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        return f"cargo can't build {peer.name}: {_first_error(built.stderr)}"
    return ""


def _first_error(output: str) -> str:
    lines = output.strip().splitlines() or ["no message"]
    return next((line for line in lines if line.lstrip().startswith("error")), lines[-1]).strip()
