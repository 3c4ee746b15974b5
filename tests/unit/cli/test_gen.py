"""`ebpf gen native`, and what other commands do with its images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def test_inspect_shows_a_signature_that_it_can_not_check(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "signed.native"
    ebpf("gen", "native", OBJECTS / "calls.o", "-o", path, "--tier", "light", "--sign", keys)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert ebpf("inspect", path, "--json").json["native"]["signature"] == "unchecked"
    (line,) = [line for line in ebpf("inspect", path).output.splitlines() if line.startswith("signed")]
    assert "unchecked signature of SHA256:" in line
    assert line.endswith(": the package cryptography is not installed (pip install 'ebpf[sign]')")


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


def test_what_it_reads_is_not_overwritten(keys: Path, tmp_path: Path) -> None:
    calls, key, link = tmp_path / "calls.o", tmp_path / "key", tmp_path / "link"
    shutil.copy(OBJECTS / "calls.o", calls)
    shutil.copy(keys, key)
    link.symlink_to(calls)
    for output, what in ((calls, "the object"), (link, "the object"), (key, "the signing key")):
        ran = ebpf("gen", "native", calls, "--sign", key, "-o", output)
        assert (ran.status, ran.output) == (2, "")
        assert f"-o {output} would overwrite {what}: name another file" in ran.errors
    assert (calls.read_bytes(), key.read_bytes()) == ((OBJECTS / "calls.o").read_bytes(), keys.read_bytes())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is full")
def test_an_output_that_can_not_be_written_is_named() -> None:
    ran = ebpf("gen", "native", OBJECTS / "calls.o", "-o", "/dev/full", "--tier", "light")
    assert (ran.status, ran.errors) == (1, "ebpf: /dev/full: No space left on device\n")


def test_images_where_objects_are_expected(image: Path, tmp_path: Path) -> None:
    ran = ebpf("gen", "native", image, "-o", tmp_path / "x")
    reason = f"ebpf: {image}: it is a native image already; give the object that it was made from\n"
    assert (ran.status, ran.errors) == (1, reason)
    ran = ebpf("disasm", image)
    reason = f"ebpf: {image}: it is a native image; disassemble the object that it was made from\n"
    assert (ran.status, ran.errors) == (1, reason)


def test_an_image_that_has_grown(image: Path, tmp_path: Path) -> None:
    path = tmp_path / "grown.native"
    path.write_bytes(image.read_bytes())
    os.truncate(path, 1 << 24)
    for command in (("inspect", path), ("run", path, "--allow-unsigned", *FEED)):
        ran = ebpf(*command)
        assert ran.status == 1
        assert f"{path}: it is longer than the {image.stat().st_size} bytes that its header says" in ran.errors


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no paths")
def test_an_image_from_a_pipe(image: Path) -> None:
    with subprocess.Popen(["cat", image], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        ran = ebpf("run", f"/dev/fd/{cat.stdout.fileno()}", "--allow-unsigned", *FEED)
    assert (ran.status, ran.errors) == (0, "")


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
    ran = ebpf("run", image, "--allow-unsigned", "--trusted-key", FIREWALL, *FEED)
    assert "--trusted-key and --allow-unsigned say opposite things: give one of them" in ran.errors
    ran = ebpf("run", image, "--trusted-key", FIREWALL, *FEED)
    assert "expected an Ed25519 public key in PEM or OpenSSH form" in ran.errors
