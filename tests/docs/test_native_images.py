"""Native images run where llvmlite is not installed: in a virtual environment that has only what the package needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from ebpf.objects import Collection
from ebpf.objects.native import make_native
from ebpf.spec import CollectionSpec
from tests.command import DATA, ROOT
from tests.firewall_outcome import outcome

pytest.importorskip("llvmlite")
_NAME = re.compile(r"[\w.-]+")


def requirements(name: str) -> Iterator[Distribution]:
    """Yield what a distribution needs without extras, and what that needs."""
    for line in distribution(name).requires or ():
        if "extra ==" in line or "sys_platform" in line or "python_version" in line or "platform_system" in line:
            continue
        match = _NAME.match(line)
        assert match is not None
        yield distribution(match[0])
        yield from requirements(match[0])


def make_bare(directory: Path) -> Path:
    """Make an environment with the package and its requirements; return its Python."""
    venv.create(directory, symlinks=os.name != "nt", with_pip=False)
    variables = {"base": str(directory), "platbase": str(directory)}
    site = Path(sysconfig.get_path("purelib", "venv", variables))
    for needed in requirements("ebpf"):
        for top in {file.parts[0] for file in needed.files or () if file.parts[0] != ".."}:
            there = Path(str(needed.locate_file(top)))
            if there.exists() and not (site / top).exists():
                (site / top).symlink_to(there)
    (site / "ebpf.pth").write_text(f"{ROOT / 'src'}\n")
    return Path(sysconfig.get_path("scripts", "venv", variables)) / "python"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_without_llvmlite_the_firewall_does_the_same(tmp_path: Path) -> None:
    object_file = DATA / "firewall.o"
    image = tmp_path / "firewall.native"
    image.write_bytes(make_native(object_file.read_bytes()).pack())
    python = make_bare(tmp_path / "bare")
    with CollectionSpec.from_file(object_file).load(runtime="embedded", engine="interpreter") as collection:
        expected = outcome(collection)

    ran = subprocess.run([python, "-m", "tests.firewall_outcome", image], cwd=ROOT, capture_output=True, text=True)

    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    assert (found["engine"], found["packages"]) == ("native", [])
    assert found["outcome"] == expected
    assert len(expected["events"]) > 100
    with Collection.load_native(image, allow_unsigned=True) as collection:
        assert outcome(collection) == expected
