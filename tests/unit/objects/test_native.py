"""Native images, loaded: who may load which, that they run as on every other engine, and that nothing else does."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebpf import runtime
from ebpf.codegen.native import NativeImage
from ebpf.errors import ImageError, LoadError, MapIncompatibleError, NotSupportedError, ProgramFault
from ebpf.link import packets
from ebpf.objects import Collection
from ebpf.objects.native import make_native
from ebpf.spec import CollectionSpec
from tests.command import DATA, OBJECTS, TALK
from tests.firewall_outcome import outcome
from tests.unit.elf.writer import ObjectWriter

pytest.importorskip("llvmlite")

FIREWALL = DATA / "firewall.o"
PACKET = bytes(range(64))
OTHER_TARGET = "aarch64"
CALLS = 3
"""How many functions of the support library an image is said to know here."""


@pytest.fixture(scope="module")
def images() -> Callable[[Path], NativeImage]:
    """What makes an image of an object for this machine, each object once."""
    made: dict[Path, NativeImage] = {}

    def make(path: Path) -> NativeImage:
        if path not in made:
            made[path] = make_native(path.read_bytes(), name=path.name, tier="light")
        return made[path]

    return make


@pytest.fixture
def firewall(images: Callable[[Path], NativeImage]) -> NativeImage:
    return images(FIREWALL)


@pytest.fixture
def kernel() -> Iterator[Any]:
    made = runtime.embedded(seed=1)
    yield made
    made.close()


def write(image: NativeImage, directory: Path) -> Path:
    path = directory / "x.native"
    path.write_bytes(image.pack())
    return path


def load(image: NativeImage, directory: Path, **options: Any) -> Collection:
    return Collection.load_native(write(image, directory), allow_unsigned=True, **options)


def object_of(text: str, section: str = "xdp", name: str = "prog") -> bytes:
    writer = ObjectWriter()
    writer.program(section, (name, text))
    return writer.build()


# It does the same.


@pytest.mark.parametrize("engine", ["reference", "interpreter", "jit"])
def test_the_firewall_does_what_it_does_on_other_engines(engine: str, firewall: NativeImage, tmp_path: Path) -> None:
    with CollectionSpec.from_file(FIREWALL).load(runtime="embedded", engine=engine) as collection:
        expected = outcome(collection)
    with load(firewall, tmp_path) as collection:
        program = collection.programs["firewall"]
        assert (program.engine, program.engine_reason) == ("native", f"code of the image {tmp_path / 'x.native'}")
        assert outcome(collection) == expected
    assert len(set(expected["verdicts"])) == 2
    assert len(expected["events"]) > 100


@pytest.mark.parametrize("name", ["calls.o", "maps.o", "passing.o"])
def test_callbacks_tail_calls_and_contexts(
    name: str, images: Callable[[Path], NativeImage], kernel: Any, tmp_path: Path
) -> None:
    spec = CollectionSpec.from_file(OBJECTS / name)
    with spec.load(runtime=kernel, engine="interpreter", pin_path="/expected") as collection:
        expected = {key: one.run(PACKET, repeat=3) for key, one in collection.programs.items()}
        variables = {key: one.value for key, one in collection.variables.items()}
    with load(images(OBJECTS / name), tmp_path, runtime=kernel, pin_path="/found") as collection:
        for key, program in collection.programs.items():
            found = program.run(PACKET, repeat=3)
            assert (key, found.retval, found.data) == (key, expected[key].retval, expected[key].data)
        assert {key: one.value for key, one in collection.variables.items()} == variables


def test_every_way_to_run_uses_the_code_of_the_image(tmp_path: Path) -> None:
    """The image has the code of another program than it says, which shows whose code runs."""
    drop, passing = (make_native(object_of(f"r0 = {verdict}\nexit"), tier="light") for verdict in (1, 2))
    code = dataclasses.replace(passing.programs[0], code=drop.programs[0].code, entry=drop.programs[0].entry)
    with load(dataclasses.replace(passing, programs=(code,)), tmp_path) as collection:
        program = collection.programs["prog"]
        assert program.run(PACKET).retval == 1
        assert program.run(PACKET, repeat=1000).retval == 1
        assert set(program.run_many([PACKET] * 100).retvals) == {1}
        assert program.function()(bytearray(PACKET)) == 1
        with packets(program, [PACKET] * 10) as feed:
            feed.wait()
        assert feed.verdicts == {"DROP": 10}


def test_a_tail_call_leaves_the_image_and_comes_back(
    images: Callable[[Path], NativeImage], kernel: Any, tmp_path: Path
) -> None:
    loaded = CollectionSpec.from_bytes(object_of("r0 = 77\nexit", "socket"))
    with (
        load(images(OBJECTS / "maps.o"), tmp_path, runtime=kernel, pin_path="/pins") as collection,
        loaded.load(runtime=kernel) as other,
    ):
        jumps: Any = collection.maps["jumps"]
        assert collection.programs["entry"].run(PACKET).retval == 1
        jumps[0] = other.programs["prog"]
        assert collection.programs["entry"].run(PACKET).retval == 77
        assert set(collection.programs["entry"].run_many([PACKET] * 3).retvals) == {77}
        jumps[0] = collection.programs["tail_two"]
        assert collection.programs["entry"].run(PACKET).retval == 2


def test_faults_are_those_of_the_interpreter(tmp_path: Path) -> None:
    data = object_of("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 60)\nr0 = *(u8 *)(r2 + 64)\nexit")
    spec = CollectionSpec.from_bytes(data)
    with spec.load(runtime="embedded", engine="interpreter") as collection, pytest.raises(ProgramFault) as expected:
        collection.programs["prog"].run(PACKET)
    with load(make_native(data), tmp_path) as collection, pytest.raises(ProgramFault) as found:
        collection.programs["prog"].run(PACKET)
    assert str(found.value) == str(expected.value)
    assert found.value.insn == 2


def test_variables_are_set_before_the_load(firewall: NativeImage, tmp_path: Path) -> None:
    counts = {}
    for reported in (True, False):
        with load(firewall, tmp_path, variables={"report_new_flows": reported}) as collection:
            counts[reported] = len(outcome(collection)["events"])
    assert counts[True] > counts[False] > 0
    with pytest.raises(ValueError, match="there is no variable 'nobody'; the object has"):
        load(firewall, tmp_path, variables={"nobody": 1})


WITHOUT = """
import sys
sys.modules["llvmlite"] = sys.modules["cryptography"] = None
from ebpf import Collection
with Collection.load_native(sys.argv[1], allow_unsigned=True) as collection:
    program = collection.programs["firewall"]
    print(program.engine, len(program.run_many(sys.argv[2]).retvals))
"""


def test_neither_llvmlite_nor_cryptography_is_imported(firewall: NativeImage, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(write(firewall, tmp_path)), TALK]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.stdout.split(), ran.stderr) == (["native", "2207"], "")


# Who may load it. Nothing is mapped where the answer is no.


@pytest.fixture
def nothing_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpf.vm.native import load_interpreter

    load_interpreter()

    def refuse(code: bytes) -> None:
        raise AssertionError(f"{len(code)} bytes of code are about to be mapped")

    monkeypatch.setattr("ebpf.codegen.executable.Executable.__init__", lambda self, code: refuse(code))


@pytest.fixture(scope="module")
def key() -> Any:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def public(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes_raw()
    return raw


def test_paths_and_bytes_are_not_mixed_up(firewall: NativeImage) -> None:
    with pytest.raises(TypeError, match="expected the path of a native image, got bytes: images are read from files"):
        Collection.load_native(firewall.pack(), allow_unsigned=True)  # type: ignore[arg-type]  # as callers without types may
    with pytest.raises(TypeError, match="expected the bytes of an object file, got str: read the file first"):
        make_native("firewall.o")  # type: ignore[arg-type]  # as callers without types may


@pytest.mark.usefixtures("nothing_is_mapped")
def test_policy(firewall: NativeImage, key: Any, tmp_path: Path) -> None:
    from ebpf.codegen.signature import sign

    path = write(firewall, tmp_path)
    with pytest.raises(ImageError, match=r"x\.native: it is not signed, and its machine code .* give trusted_keys, or"):
        Collection.load_native(path)
    with pytest.raises(ImageError, match=r"x\.native: it is not signed, and only images of trusted keys are taken"):
        Collection.load_native(path, trusted_keys=[public(key)])
    with pytest.raises(ValueError, match="say opposite things"):
        Collection.load_native(path, trusted_keys=[public(key)], allow_unsigned=True)
    with pytest.raises(TypeError, match="trusted_keys is a list of keys, got one bytes: put it into a list"):
        Collection.load_native(path, trusted_keys=public(key))
    with pytest.raises(TypeError, match="trusted_keys is a list of keys, got NoneType"):
        Collection.load_native(path, trusted_keys=None)  # type: ignore[arg-type]  # as callers without types may
    for undecided in ("no", 1, None):
        with pytest.raises(TypeError, match=rf"allow_unsigned is True or False, got {undecided!r}"):
            Collection.load_native(path, allow_unsigned=undecided)  # type: ignore[arg-type]  # as callers without types may
    path = write(sign(firewall, key), tmp_path)
    with pytest.raises(ImageError, match="it is signed, but there is no key to compare with"):
        Collection.load_native(path)
    with pytest.raises(ImageError, match=r"it is signed by SHA256:.*, which is no trusted key"):
        Collection.load_native(path, trusted_keys=[bytes(32)])
    forged = dataclasses.replace(sign(firewall, key), version="0.2.0")
    with pytest.raises(ImageError, match=r"the signature of SHA256:.* is wrong: the image was changed after"):
        Collection.load_native(write(forged, tmp_path), trusted_keys=[public(key)])


def test_a_trusted_signature(firewall: NativeImage, key: Any, tmp_path: Path) -> None:
    from ebpf.codegen.signature import sign

    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    file = tmp_path / "key.pub"
    file.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH) + b" me"
    )
    path = write(sign(firewall, key), tmp_path)
    for keys in ([bytes(32), public(key)], [file], [str(file)], [file.read_text()]):
        with Collection.load_native(path, trusted_keys=keys) as collection:
            assert collection.programs["firewall"].engine == "native"


@pytest.mark.usefixtures("nothing_is_mapped")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": OTHER_TARGET}, f"its code is for {OTHER_TARGET}, this process needs"),
        ({"abi": 99}, "its code is for version 99 of the support library's interface, this one has"),
        ({"structures": bytes(32)}, "its code is for structures of the support library that this version lays out"),
        ({"calls": 1000}, "its code calls functions of the support library that this version does not have"),
        ({"calls_digest": bytes(32)}, "its code calls functions of the support library that this version does not"),
    ],
    ids=["target", "abi", "structures", "calls", "calls_digest"],
)
def test_foreign(changes: dict[str, Any], reason: str, firewall: NativeImage, tmp_path: Path) -> None:
    foreign = dataclasses.replace(firewall, interface=dataclasses.replace(firewall.interface, **changes))
    with pytest.raises(ImageError, match=f"{reason}.*it was made by version 0.1.0, make it again for here"):
        load(foreign, tmp_path)


def test_a_table_of_calls_that_has_grown_is_no_obstacle(firewall: NativeImage, tmp_path: Path) -> None:
    from ebpf.codegen.image import ENTRIES
    from ebpf.codegen.native import digest_of_calls

    older = dataclasses.replace(firewall.interface, calls=CALLS, calls_digest=digest_of_calls(ENTRIES[:CALLS]))
    with load(dataclasses.replace(firewall, interface=older), tmp_path) as collection:
        assert collection.programs["firewall"].engine == "native"


@pytest.mark.usefixtures("nothing_is_mapped")
def test_code_of_another_program(firewall: NativeImage, tmp_path: Path) -> None:
    program = firewall.programs[0]
    other = dataclasses.replace(program, digest=bytes(32))
    with pytest.raises(ImageError, match="program firewall: its code was made from other instructions than this"):
        load(dataclasses.replace(firewall, programs=(other,)), tmp_path)
    renamed = dataclasses.replace(program, name="wall")
    with pytest.raises(ImageError, match="it has no code for program firewall"):
        load(dataclasses.replace(firewall, programs=(renamed,)), tmp_path)
    fewer = dataclasses.replace(program, maps=program.maps[1:])
    with pytest.raises(ImageError, match="program firewall: its code is for 5 maps, the program uses 6"):
        load(dataclasses.replace(firewall, programs=(fewer,)), tmp_path)


@pytest.mark.usefixtures("nothing_is_mapped")
@pytest.mark.parametrize("member", ["type", "key_size", "value_size", "max_entries", "flags", "stride", "shift"])
def test_maps_of_other_shapes(member: str, firewall: NativeImage, kernel: Any, tmp_path: Path) -> None:
    program = firewall.programs[0]
    maps = [
        dataclasses.replace(one, **{member: getattr(one, member) + 1}) if one.name == "flows" else one
        for one in program.maps
    ]
    changed = dataclasses.replace(firewall, programs=(dataclasses.replace(program, maps=tuple(maps)),))
    with pytest.raises(ImageError, match=rf"its code is for a map flows with {member} \d+, the map has \d+"):
        load(changed, tmp_path, runtime=kernel)
    assert kernel.state.memory_used == 0


@pytest.fixture
def others(kernel: Any) -> Iterator[Collection]:
    """Maps in the same kernel: one like the firewall's "rules" under another name, one that is not."""
    rules = CollectionSpec.from_file(FIREWALL).maps["rules"]
    spec = CollectionSpec()
    spec.maps["mine"] = rules._replace(name="mine")
    spec.maps["wider"] = rules._replace(name="wider", max_entries=rules.max_entries + 1)
    with spec.load(runtime=kernel) as collection:
        yield collection


def test_a_map_of_another_name(firewall: NativeImage, kernel: Any, others: Collection, tmp_path: Path) -> None:
    with load(firewall, tmp_path, runtime=kernel, replace_maps={"rules": others.maps["mine"]}) as collection:
        assert collection.programs["firewall"].engine == "native"
        expected = outcome(collection)["verdicts"]
    with load(firewall, tmp_path) as collection:
        assert outcome(collection)["verdicts"] == expected


def test_a_pinned_map_of_another_name(kernel: Any, tmp_path: Path) -> None:
    typed = CollectionSpec.from_file(OBJECTS / "maps.o").maps["typed"]
    spec = CollectionSpec()
    spec.maps["mine"] = typed._replace(name="mine", pinning="none")
    image = make_native((OBJECTS / "maps.o").read_bytes(), tier="light")
    kernel.pins.make_directory("/pins")
    with spec.load(runtime=kernel) as given:
        given.maps["mine"].pin("/pins/typed")
        with load(image, tmp_path, runtime=kernel, pin_path="/pins") as collection:
            assert collection.programs["entry"].engine == "native"


def test_a_map_that_the_object_does_not_describe(
    firewall: NativeImage, kernel: Any, others: Collection, tmp_path: Path
) -> None:
    with pytest.raises(MapIncompatibleError, match="use an existing map for rules: the spec says max_entries 64, the"):
        load(firewall, tmp_path, runtime=kernel, replace_maps={"rules": others.maps["wider"]})


def test_cpus(firewall: NativeImage, tmp_path: Path) -> None:
    wide = runtime.embedded(cpus=4)
    with pytest.raises(ImageError, match=r"a map protocols with cpus 1, the map has 4; make it with --cpus 4"):
        load(firewall, tmp_path, runtime=wide)
    made = make_native(FIREWALL.read_bytes(), tier="light", cpus=4)
    with load(made, tmp_path, runtime=wide) as collection:
        collection.programs["firewall"].run_many([PACKET] * 1000, threads=4)
        assert collection.variables["packets"].value == 1000
    wide.close()


@pytest.mark.usefixtures("nothing_is_mapped")
def test_an_object_that_is_none(firewall: NativeImage, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^the object in .*x\.native, offset 0x0: not an ELF file"):
        load(dataclasses.replace(firewall, object=b"nothing"), tmp_path)


def test_other_runtimes_and_programs_without_an_image(firewall: NativeImage, tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match=r"native image .* is not supported on the linux runtime; the kernel"):
        load(firewall, tmp_path, runtime="linux")
    with pytest.raises(NotSupportedError, match=r"engine 'native' for a program .* `ebpf gen native` and load it with"):
        CollectionSpec.from_file(FIREWALL).load(runtime="embedded", engine="native")


def test_a_process_without_native_code(firewall: NativeImage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ebpf.codegen.executable import ImageError as NoCode

    def refuse() -> None:
        raise NoCode("the system refuses executable memory (EACCES)", refused=True)

    monkeypatch.setattr("ebpf.vm.native.load_interpreter", refuse)
    with pytest.raises(NotSupportedError, match=r"engine 'native' .*executable memory \(EACCES\); load the object"):
        load(firewall, tmp_path)


IN_PYTHON = "a native image with map .* in Python storage is not supported on the embedded runtime; "


def test_maps_in_python_storage(firewall: NativeImage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The code of images is for maps in native storage, and of no use with others."""
    monkeypatch.setenv("EBPF_MAP_STORAGE", "python")
    with pytest.raises(NotSupportedError, match=f"{IN_PYTHON}it was made while EBPF_MAP_STORAGE was python: unset it"):
        load(firewall, tmp_path)


def test_a_map_from_before_storage_was_chosen(
    firewall: NativeImage, kernel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EBPF_MAP_STORAGE", "python")
    with CollectionSpec.from_file(FIREWALL).load(runtime=kernel) as before:
        monkeypatch.delenv("EBPF_MAP_STORAGE")
        with pytest.raises(NotSupportedError, match=f"{IN_PYTHON}it was made while EBPF_MAP_STORAGE was python: make"):
            load(firewall, tmp_path, runtime=kernel, replace_maps={"flows": before.maps["flows"]})


# How it is made.


@pytest.mark.parametrize("name", ["maps.o", "passing.o", "watch.o"])
def test_where_maps_are_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (OBJECTS / name).read_bytes()
    expected = make_native(data, tier="light", cpus=2).pack()
    monkeypatch.setenv("EBPF_MAP_STORAGE", "python")
    assert make_native(data, tier="light", cpus=2).pack() == expected


WITHOUT_CODE = """
import sys
from ebpf.codegen import executable
def refuse(self, code):
    raise executable.ImageError("the system refuses executable memory (EACCES)", refused=True)
executable.Executable.__init__ = refuse
from pathlib import Path
from ebpf.objects.native import make_native
data = Path(sys.argv[1]).read_bytes()
sys.stdout.buffer.write(make_native(data, name="firewall.o", tier="light").pack())
"""


def test_it_is_made_where_no_native_code_runs(firewall: NativeImage) -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_CODE, str(FIREWALL)], capture_output=True)
    assert (ran.stdout, ran.stderr) == (firewall.pack(), b"")


def test_making_it_again_gives_the_same_bytes(firewall: NativeImage) -> None:
    again = make_native(FIREWALL.read_bytes(), name="firewall.o", tier="light")
    assert again.pack() == firewall.pack()
    assert again.object == FIREWALL.read_bytes()
    names = {map_.name for map_ in again.programs[0].maps}
    assert {"rules", "flows", "protocols", "events"} <= names


@pytest.mark.parametrize("target", ["x86_64-sysv", "x86_64-win64", "aarch64"])
def test_images_for_every_target(target: str, tmp_path: Path) -> None:
    """An image is flat: LLVM's relocations are resolved, or it could not be made."""
    from ebpf.codegen.image import target_of_process

    image = make_native((OBJECTS / "calls.o").read_bytes(), name="calls.o", target=target)
    assert image.interface.target == target
    assert [program.name for program in image.programs] == ["first", "second", "alone"]
    if target != target_of_process():
        with pytest.raises(ImageError, match=f"its code is for {target}, this process needs"):
            load(image, tmp_path)


def test_what_does_not_load_makes_no_image() -> None:
    with pytest.raises(LoadError, match="load program prog: the verifier refused it"):
        make_native(object_of("r0 = *(u64 *)(r1 + 400)\nexit"))
    with pytest.raises(LoadError, match="no programs of type"):
        make_native(object_of("r0 = 0\nexit", "kprobe/nanosleep"))
    with pytest.raises(NotSupportedError, match="big-endian"):
        make_native((OBJECTS / "calls-eb.o").read_bytes())
    with pytest.raises(ImageError, match="no program of it is loaded"):
        make_native((OBJECTS / "isa.o").read_bytes(), name="isa.o")
    with pytest.raises(ValueError, match="the tier is light or full, got 'best'"):
        make_native(object_of("r0 = 0\nexit"), tier="best")
    image = make_native(object_of("r0 = 0\nexit"), tier="light").pack()
    with pytest.raises(ImageError, match=r"x\.native: it is a native image already; give the object that it was made"):
        make_native(image, name="x.native")
    with pytest.raises(ValueError, match="there is no native code for 'vax'"):
        make_native(object_of("r0 = 0\nexit"), target="vax")


def test_without_llvmlite_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ebpf.codegen.compiler.available", lambda: "llvmlite is not installed (pip install 'ebpf[jit]')"
    )
    with pytest.raises(NotSupportedError, match=r"making a native image is not .*pip install 'ebpf\[jit\]'"):
        make_native(object_of("r0 = 0\nexit"))
