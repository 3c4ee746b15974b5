"""`ebpf gen native`, and what other commands do with its images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import FIREWALL, OBJECTS, TALK, ebpf

pytest.importorskip("llvmlite")

FEED = ("--pcap", TALK, "--json")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's firewall, unsigned."""
    path = tmp_path_factory.mktemp("images") / "firewall.native"
    made = ebpf("gen", "native", FIREWALL, "-o", path, "--tier", "light")
    assert made.status == 0, made.errors
    assert "wrote " in made.output
    assert "programs  firewall (" in made.output
    assert "signer    none: give --sign KEYFILE to sign it" in made.output
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key as ssh-keygen makes it; the public one has .pub behind its name."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is missing")
    pytest.importorskip("cryptography")
    path = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


def test_run_leaves_what_the_object_leaves(image: Path) -> None:
    found = ebpf("run", image, "--allow-unsigned", *FEED)
    expected = ebpf("run", FIREWALL, "--runtime", "embedded", *FEED)
    assert (found.status, found.errors) == (0, "")
    assert found.raw == expected.raw
    changed = ebpf("run", image, "--allow-unsigned", *FEED, "--set", "report_new_flows=0")
    assert len(changed.output.splitlines()) < len(found.output.splitlines())


def test_sign_and_trust(keys: Path, tmp_path: Path) -> None:
    path = tmp_path / "signed.native"
    made = ebpf("gen", "native", FIREWALL, "-o", path, "--tier", "light", "--sign", keys, "--json").json
    shown = subprocess.run(["ssh-keygen", "-lf", f"{keys}.pub"], capture_output=True, text=True, check=True).stdout
    assert made["signer"] == shown.split()[1]
    assert made["size"] == path.stat().st_size
    assert ebpf("run", path, "--trusted-key", f"{keys}.pub", *FEED).status == 0
    inspected = ebpf("inspect", path)
    assert f"valid signature of {made['signer']}" in inspected.output

    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    assert "signed           wrong signature of SHA256:" in ebpf("inspect", path).output
    refused = ebpf("run", path, "--trusted-key", f"{keys}.pub", *FEED)
    assert refused.status == 1
    assert "is wrong: the image was changed after it was signed" in refused.errors


def test_inspect(image: Path) -> None:
    document = ebpf("inspect", image, "--json").json
    native = document.pop("native")
    assert document == ebpf("inspect", FIREWALL, "--json").json
    assert (native["signer"], native["signature"]) == (None, "unsigned")
    assert native["programs"]["firewall"]["code_size"] > 1000
    assert {"rules", "flows"} <= set(native["programs"]["firewall"]["maps"])
    shown = ebpf("inspect", image).output
    assert "Native code\nprogram   bytes  made for the maps\nfirewall" in shown
    assert "signed           unsigned" in shown


@pytest.mark.parametrize("target", ["aarch64-linux-gnu", "x86_64-pc-windows-msvc", "x86_64-linux-gnu"])
def test_target(target: str, tmp_path: Path) -> None:
    path = tmp_path / "x.native"
    calls = OBJECTS / "calls.o"
    made = ebpf("gen", "native", calls, "-o", path, "--tier", "light", "--target", target, "--json").json
    assert list(made["programs"]) == ["first", "second", "alone"]
    assert ebpf("inspect", path, "--json").json["native"]["target"] == made["target"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("gen", "native", FIREWALL, "-o", "x", "--target", "vax"), 2, "ebpf gen native: there is no native code for"),
        (("gen", "native", FIREWALL, "-o", "x", "--sign", FIREWALL), 2, "expected an Ed25519 private key in PEM or"),
        (("gen", "native", "nobody.o", "-o", "x"), 1, "ebpf: nobody.o: No such file or directory"),
        (("gen", "native", TALK, "-o", "x"), 1, "talk.pcap, offset 0x0: not an ELF file"),
        (("gen", "native", OBJECTS / "calls-eb.o", "-o", "x"), 1, "ebpf: loading a big-endian object is not supported"),
        (("gen", "native", FIREWALL), 2, "Missing option '-o'"),
        (("run", FIREWALL, "--allow-unsigned", *FEED), 2, "are for native images, and"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], status: int, message: str) -> None:
    ran = ebpf(*arguments)
    assert ran.status == status
    assert message in ran.errors
    assert len(ran.errors.splitlines()) == 1
    assert not Path("x").exists()


def test_run_asks_for_trust(image: Path) -> None:
    ran = ebpf("run", image, *FEED)
    assert (ran.status, ran.output) == (2, "")
    assert "is a native image: give --trusted-key FILE, or --allow-unsigned if you made it" in ran.errors
    ran = ebpf("run", image, "--allow-unsigned")
    assert "nothing happens in the embedded kernel by itself: feed packets with --pcap FILE" in ran.errors
    ran = ebpf("run", image, "--allow-unsigned", "--runtime", "linux", *FEED)
    assert "is not supported on the linux runtime" in ran.errors
    ran = ebpf("run", image, "--trusted-key", FIREWALL, *FEED)
    assert "expected an Ed25519 public key in PEM or OpenSSH form" in ran.errors
