"""`import ebpf` is cheap: shown by what it imports, not by a clock."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

import ebpf

HEAVY = frozenset(
    {
        "ctypes", "asyncio", "inspect", "rich", "click", "elftools", "numpy", "llvmlite", "dataclasses", "mmap", "dpkt",
    }
)  # fmt: skip
FIRST_RUN = """
insns = ebpf.Instructions.decode(bytes.fromhex("b7000000020000009500000000000000"))
spec = ebpf.CollectionSpec(programs={"p": ebpf.ProgramSpec("p", ebpf.ProgramType.XDP, insns)})
with spec.load(runtime="embedded", engine="interpreter") as collection:
    assert collection.programs["p"].run(bytes(64)).retval == 2
"""
FIRST_RUN_WITH_A_MAP = """
insns = [
    ebpf.Insn(0x62, 10, 0, -4, 0), ebpf.Insn(0xBF, 2, 10), ebpf.Insn(0x07, 2, 0, 0, -4),
    ebpf.Insn(0x18, 1, reference=ebpf.Reference(ebpf.ReferenceKind.MAP, "counts")),
    ebpf.Insn(0x85, imm=1), ebpf.Insn(0xB7, 0, 0, 0, 2), ebpf.Insn(0x95),
]
spec = ebpf.CollectionSpec()
spec.maps["counts"] = ebpf.MapSpec("counts", ebpf.MapType.ARRAY, 4, 8, 1)
spec.programs["p"] = ebpf.ProgramSpec("p", ebpf.ProgramType.XDP, ebpf.Instructions(insns))
with spec.load(runtime="embedded", engine="interpreter") as collection:
    assert collection.programs["p"].run(bytes(64)).retval == 2
"""
NOT_FOR_A_FIRST_RUN = frozenset(
    {
        "ebpf.abi.helpers", "ebpf.abi.linux.errtexts", "ebpf.abi.linux.prototypes", "ebpf.abi.platform",
        "ebpf.abi.types.attach", "ebpf.abi.types.commands", "ebpf.abi.types.links", "ebpf.abi.types.maps",
        "ebpf.abi.types.programflags",
        "ebpf.asm.assembler", "ebpf.asm.disassembler", "ebpf.asm.linking", "ebpf.asm.metadata", "ebpf.btf",
        "ebpf.codegen.builtin", "ebpf.codegen.cache", "ebpf.codegen.compiler", "ebpf.codegen.native",
        "ebpf.codegen.signature", "ebpf.elf", "ebpf.link", "ebpf.objects.infos", "ebpf.objects.map",
        "ebpf.objects.mapfds", "ebpf.objects.reader", "ebpf.objects.refusal", "ebpf.objects.unresolved",
        "ebpf.runtime.attrs.links", "ebpf.runtime.attrs.loaded", "ebpf.runtime.attrs.maps",
        "ebpf.runtime.attrs.objects", "ebpf.runtime.base", "ebpf.runtime.current", "ebpf.runtime.defaults",
        "ebpf.runtime.embedded.attachments", "ebpf.runtime.embedded.commands", "ebpf.runtime.embedded.links",
        "ebpf.runtime.embedded.log", "ebpf.runtime.embedded.maps", "ebpf.runtime.embedded.pins",
        "ebpf.runtime.embedded.rings", "ebpf.runtime.embedded.testrun", "ebpf.runtime.errors", "ebpf.runtime.hooks",
        "ebpf.runtime.info", "ebpf.runtime.joined", "ebpf.runtime.linux", "ebpf.runtime.memory", "ebpf.runtime.runs",
        "ebpf.vm.batch", "ebpf.vm.context.skb", "ebpf.vm.helpers.dispatch", "ebpf.vm.jit", "ebpf.vm.maps.array",
        "ebpf.vm.maps.base", "ebpf.vm.maps.create", "ebpf.vm.maps.storage", "ebpf.vm.patch", "ebpf.vm.reference",
        "ebpf.vm.steps", "ebpf.vm.testskb", "binascii", "copy", "dataclasses", "difflib", "hashlib", "heapq", "inspect",
        "ipaddress", "llvmlite", "logging", "mmap", "platform", "random", "sysconfig", "threading", "uuid", "weakref",
    }
)  # fmt: skip
FOR_MAPS = frozenset(
    {
        "ebpf.abi.linux.prototypes", "ebpf.abi.types.maps", "ebpf.asm.linking", "ebpf.asm.metadata",
        "ebpf.objects.map", "ebpf.objects.mapfds", "ebpf.objects.unresolved", "ebpf.runtime.attrs.maps",
        "ebpf.runtime.embedded.commands", "ebpf.runtime.embedded.maps", "ebpf.vm.maps.array", "ebpf.vm.maps.base",
        "ebpf.vm.maps.create", "ebpf.vm.maps.storage",
    }
)  # fmt: skip
OTHER_MAPS = frozenset(
    {
        "ebpf.objects.hash", "ebpf.objects.queues", "ebpf.objects.references", "ebpf.objects.reuse",
        "ebpf.objects.rings", "ebpf.runtime.embedded.maptypes", "ebpf.vm.maps.hash", "ebpf.vm.maps.lpm",
        "ebpf.vm.maps.nativehash", "ebpf.vm.maps.nested", "ebpf.vm.maps.percpu", "ebpf.vm.maps.ring",
    }
)  # fmt: skip
MOST_MODULES = 56
"""Modules of this package in a first run; finding and reading one takes 0.1 ms even where little is in it."""
SHOW = """import sys
before = set(sys.modules)
import ebpf
STATEMENT
import importlib
import json
import os
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def imported(statement: str = "") -> list[str]:
    code = SHOW.replace("STATEMENT", statement)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EBPF_")}
    command = [sys.executable, "-I", "-c", code]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    modules: list[str] = json.loads(output)
    return modules


def test_import_loads_only_the_facade_and_what_makes_it_lazy() -> None:
    modules = {name for name in imported() if name.startswith("ebpf")}

    assert modules == {"ebpf", "ebpf.lazy"}


def test_import_loads_nothing_heavy() -> None:
    loaded = {name.split(".")[0] for name in imported()}

    assert not loaded & HEAVY


def test_the_list_would_show_a_heavy_import() -> None:
    assert "dataclasses" in imported("ebpf.btf.Codec")


def test_a_first_run_imports_no_more_than_it_needs() -> None:
    loaded = set(imported(FIRST_RUN))

    assert "ebpf.vm.interpreter" in loaded
    assert not loaded & NOT_FOR_A_FIRST_RUN
    assert len([name for name in loaded if name.startswith("ebpf")]) <= MOST_MODULES


def test_a_first_run_with_a_map_imports_what_is_for_that_map() -> None:
    loaded = set(imported(FIRST_RUN_WITH_A_MAP))

    assert loaded >= FOR_MAPS
    assert not loaded & (OTHER_MAPS | NOT_FOR_A_FIRST_RUN - FOR_MAPS)
    assert len([name for name in loaded if name.startswith("ebpf")]) <= MOST_MODULES + 25


def test_memory_over_a_bare_interpreter() -> None:
    code = "import sys, resource; {}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"

    def peak(statement: str) -> int:
        command = [sys.executable, "-I", "-c", code.format(statement)]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    if sys.platform != "linux":
        pytest.skip("ru_maxrss counts kilobytes on Linux only")
    assert peak("import ebpf") - peak("pass") < 25_000


@pytest.mark.parametrize("name", ebpf.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ebpf, name) is not None


@pytest.mark.parametrize("package", ["ebpf", "ebpf.asm", "ebpf.btf", "ebpf.objects", "ebpf.runtime", "ebpf.vm.maps"])
def test_dir_lists_every_public_name(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Colection'"):
        _ = ebpf.Colection
