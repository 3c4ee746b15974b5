"""The object cache: what it gives back, what it refuses to, and that nothing about a disk is an error."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebpf.codegen import cache, fingerprint
from ebpf.codegen.cache import ObjectCache, cache_key, host_fingerprint
from ebpf.codegen.compiler import installed_version
from ebpf.codegen.fingerprint import source_fingerprint
from ebpf.codegen.flat import FlatCode
from ebpf.codegen.image import ImageError, target_of_process

CODE = FlatCode(bytes(range(256)) * 3, {"main": 0, "größer": 0x123456789, "": 7})
KEY = cache_key(b"program")
posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no modes there")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def entry_of(directory: Path) -> Path:
    (path,) = directory.glob("*.obj")
    return path


def test_what_was_put_is_got(directory: Path) -> None:
    objects = ObjectCache(directory)
    assert objects.get(KEY) is None
    objects.put(KEY, CODE)
    assert objects.get(KEY) == CODE
    assert ObjectCache(directory).get(KEY) == CODE
    assert objects.get(cache_key(b"other")) is None
    replaced = FlatCode(b"", {})
    objects.put(KEY, replaced)
    assert objects.get(KEY) == replaced


def test_looking_makes_nothing(directory: Path) -> None:
    assert ObjectCache(directory).get(KEY) is None
    assert not directory.exists()


@posix
def test_private_to_the_user(directory: Path) -> None:
    before = os.umask(0)
    try:
        ObjectCache(directory).put(KEY, CODE)
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert len(list(directory.iterdir())) == 2


def test_every_bit_counts(directory: Path) -> None:
    objects = ObjectCache(directory)
    objects.put(KEY, FlatCode(b"code", {"f": 2}))
    path = entry_of(directory)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert objects.get(KEY) is None, at
        assert not path.exists()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert objects.get(KEY) is None, length
        assert not path.exists()
    path.write_bytes(good)
    assert objects.get(KEY) == FlatCode(b"code", {"f": 2})


def test_an_entry_of_another_key_or_directory_is_none(directory: Path, tmp_path: Path) -> None:
    objects, other = ObjectCache(directory), cache_key(b"other")
    objects.put(KEY, CODE)
    path = entry_of(directory)
    path.rename(directory / cache._name(other))
    assert objects.get(other) is None
    objects.put(KEY, CODE)
    foreign = ObjectCache(tmp_path / "foreign")
    foreign.put(KEY, FlatCode(b"evil", {}))
    entry_of(directory).write_bytes(entry_of(tmp_path / "foreign").read_bytes())
    assert objects.get(KEY) is None
    assert not list(directory.glob("*.obj"))


@posix
@pytest.mark.parametrize("how", ["link", "directory", "pipe", "writable", "too large"])
def test_what_is_no_entry_is_removed(directory: Path, tmp_path: Path, how: str) -> None:
    objects = ObjectCache(directory, limit=10_000)
    objects.put(KEY, CODE)
    path = entry_of(directory)
    good = tmp_path / "good"
    path.rename(good)
    if how == "link":
        path.symlink_to(good)
    elif how == "directory":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path, 0o600)
    elif how == "writable":
        path.write_bytes(good.read_bytes())
        path.chmod(0o622)
    else:
        path.write_bytes(bytes(10_001))
    assert objects.get(KEY) is None
    assert path.exists() == (how == "directory")
    assert good.exists()


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write(directory: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    ObjectCache(directory).put(KEY, CODE)
    directory.chmod(mode)
    objects = ObjectCache(directory)
    with caplog.at_level(logging.INFO, "ebpf"):
        for _ in range(3):
            assert objects.get(KEY) is None
            objects.put(KEY, CODE)
    assert [(record.levelname, record.name) for record in caplog.records] == [("INFO", "ebpf")]
    assert f"not kept in {directory}: the directory has mode {mode:o}" in caplog.text
    assert objects.directory is None


@posix
def test_a_directory_that_the_environment_names_and_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("EBPF_CACHE_DIR", str(tmp_path))
    with caplog.at_level(logging.INFO, "ebpf"):
        ObjectCache().put(KEY, CODE)
    assert f"not kept in {tmp_path}: the directory has mode 777" in caplog.text


@posix
def test_a_directory_of_another_user(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    if os.geteuid():
        pytest.skip("needs root, to give a directory away")
    ObjectCache(directory).put(KEY, CODE)
    os.chown(directory, 12345, -1)
    with caplog.at_level(logging.INFO, "ebpf"):
        assert ObjectCache(directory).get(KEY) is None
    assert "the directory belongs to user 12345" in caplog.text
    os.chown(directory, 0, -1)
    os.chown(entry_of(directory), 12345, -1)
    assert ObjectCache(directory).get(KEY) is None
    assert not list(directory.glob("*.obj"))


@posix
def test_a_secret_that_others_may_read_is_none(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    ObjectCache(directory).put(KEY, CODE)
    (directory / "secret").chmod(0o644)
    with caplog.at_level(logging.INFO, "ebpf"):
        assert ObjectCache(directory).get(KEY) is None
    assert "it has mode 644" in caplog.text


@pytest.mark.parametrize("secret", [b"", b"short", bytes(33)])
def test_a_damaged_secret(directory: Path, secret: bytes) -> None:
    ObjectCache(directory).put(KEY, CODE)
    (directory / "secret").write_bytes(secret)
    assert ObjectCache(directory).get(KEY) is None
    objects = ObjectCache(directory)
    objects.put(KEY, CODE)
    assert objects.get(KEY) == (CODE if len(secret) < 33 else None)


def test_no_place_for_a_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    objects = ObjectCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.INFO, "ebpf"):
        objects.put(KEY, CODE)
        objects.put(KEY, CODE)
        assert objects.get(KEY) is None
    assert len(caplog.records) == 1


def test_a_full_disk(directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    objects = ObjectCache(directory)
    objects.put(KEY, CODE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    with caplog.at_level(logging.INFO, "ebpf"):
        objects.put(cache_key(b"new"), CODE)
    assert "No space left" in caplog.text
    assert sorted(path.suffix for path in directory.iterdir()) == ["", ".obj"]


def test_the_oldest_go(directory: Path) -> None:
    objects = ObjectCache(directory, limit=10_000)
    code = FlatCode(bytes(900), {})
    for number in range(30):
        objects.put(cache_key(bytes([number])), code)
        path = directory / cache._name(cache_key(bytes([number])))
        os.utime(path, ns=(number * 10**9, number * 10**9))
    kept = [number for number in range(30) if objects.get(cache_key(bytes([number]))) is not None]
    assert kept == list(range(kept[0], 30))
    assert 7 <= len(kept) <= 10
    assert sum(path.stat().st_size for path in directory.glob("*.obj")) <= 10_000


def test_what_was_never_completed_goes(directory: Path) -> None:
    objects = ObjectCache(directory, limit=10_000)
    objects.put(KEY, CODE)
    old, new = directory / "a.obj.1.partial", directory / "b.obj.2.partial"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (1, 1))
    objects.put(KEY, CODE)
    assert (old.exists(), new.exists()) == (False, True)


def test_few_entries_look_at_the_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(cache, "_trim", lambda directory, _: looks.append(directory))
    objects = ObjectCache(directory, limit=1_600_000)
    for number in range(300):
        objects.put(cache_key(number.to_bytes(2, "big")), FlatCode(bytes(840), {}))
    # 300 entries of about 1,000 bytes: three sixteenths of the limit.
    assert len(looks) <= 15


@pytest.mark.parametrize("value", ["off", "on", ""])
def test_switched_off(directory: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EBPF_CACHE", value)
    objects = ObjectCache(directory)
    objects.put(KEY, CODE)
    assert objects.get(KEY) == (None if value == "off" else CODE)
    assert directory.exists() == (value != "off")


@pytest.mark.parametrize("value", ["OFF", "0", "no"])
def test_a_switch_that_says_nothing_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("EBPF_CACHE", value)
    cache._warn_of.cache_clear()
    assert not ObjectCache(directory).off
    assert not ObjectCache(directory).off
    assert caplog.messages == [
        f"EBPF_CACHE is {value!r}, which says nothing: 'off' turns the cache off, 'on' leaves it on"
    ]


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {"HOME": "/home/u"}, "/home/u/.cache/ebpf"),
        ("linux", {"HOME": "/home/u", "XDG_CACHE_HOME": "/var/c"}, "/var/c/ebpf"),
        ("linux", {"HOME": "/home/u", "XDG_CACHE_HOME": "relative"}, "/home/u/.cache/ebpf"),
        ("linux", {"HOME": "/home/u", "EBPF_CACHE_DIR": "/mine"}, "/mine"),
        ("darwin", {"HOME": "/Users/u", "XDG_CACHE_HOME": "/var/c"}, "/Users/u/Library/Caches/ebpf"),
    ],
)
@posix
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, system: str, environment: dict[str, str], expected: str) -> None:
    for name in ("XDG_CACHE_HOME", "EBPF_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cache.sys, "platform", system)
    assert cache._users_directory() == expected


@posix
def test_no_home(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("EBPF_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.os.path, "expanduser", lambda path: path)
    with caplog.at_level(logging.INFO, "ebpf"):
        ObjectCache().put(KEY, CODE)
    assert "there is no home directory" in caplog.text


def test_processes_share_a_directory(directory: Path) -> None:
    """However they begin at once, each of them reads whole entries or none, and in the end all agree."""
    code = (
        "import sys; from pathlib import Path\n"
        "from ebpf.codegen.cache import ObjectCache\n"
        "from ebpf.codegen.flat import FlatCode\n"
        "objects = ObjectCache(Path(sys.argv[1]))\n"
        "for number in range(200):\n"
        "    objects.put(bytes([number % 7]), FlatCode(bytes(5000), {'f': 1}))\n"
        "    assert objects.get(bytes([number % 5])) in (None, FlatCode(bytes(5000), {'f': 1}))\n"
    )
    command = [sys.executable, "-c", code, str(directory)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert not list(directory.glob("*.partial"))
    objects = ObjectCache(directory)
    objects.put(KEY, CODE)
    assert objects.get(KEY) == CODE


def test_keys() -> None:
    assert len(cache_key(b"a", b"b")) == 32
    keys = {cache_key(), cache_key(b""), cache_key(b"ab"), cache_key(b"a", b"b"), cache_key(b"a", b"", b"b")}
    assert len(keys) == 5
    assert cache_key(b"a", b"b") == cache_key(b"a", b"b")


@pytest.fixture
def fresh() -> object:
    host_fingerprint.cache_clear()
    yield
    host_fingerprint.cache_clear()


def on_this_host() -> None:
    try:
        target_of_process()
    except ImageError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("what", ["_processor", "installed_version", "target_of_process", "processor"])
def test_what_the_host_s_fingerprint_depends_on(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    on_this_host()
    before = host_fingerprint()
    host_fingerprint.cache_clear()
    assert host_fingerprint() == before
    host_fingerprint.cache_clear()
    monkeypatch.setattr(fingerprint, what, lambda: b"other" if what == "_processor" else "other")
    assert host_fingerprint() != before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processor_is_what_it_can_do() -> None:
    content = fingerprint._processor()
    assert len(content) > 100
    assert b"flags" in content or b"Features" in content
    assert b"MHz" not in content
    assert content == fingerprint._processor()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_processor_that_the_system_says_nothing_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "open", lambda *_args, **_options: io.BytesIO(), raising=False)
    with pytest.raises(OSError, match="/proc/cpuinfo is empty"):
        fingerprint._processor()


def test_the_host_s_fingerprint_needs_no_llvmlite_and_little_time() -> None:
    on_this_host()
    code = (
        "import sys, time\n"
        "from ebpf.codegen.cache import host_fingerprint\n"
        "start = time.thread_time()\n"
        "assert len(host_fingerprint()) == 32\n"
        "print(time.thread_time() - start)\n"
        "assert not {'llvmlite', 'importlib.metadata', 'pathlib'} & sys.modules.keys()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert float(result.stdout) < 0.003


def test_source() -> None:
    first = source_fingerprint("codegen")
    assert first != source_fingerprint("codegen", "vm") != source_fingerprint("vm", "codegen")
    assert len(first) == 32


def test_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_bytes(b"a = 1\n")
    monkeypatch.setattr(fingerprint.ebpf, "__file__", str(tmp_path / "__init__.py"))
    before = source_fingerprint.__wrapped__("room")
    (tmp_path / "room" / "a.pyc").write_bytes(b"")
    assert source_fingerprint.__wrapped__("room") == before
    (tmp_path / "room" / "a.py").write_bytes(b"a = 2\n")
    assert source_fingerprint.__wrapped__("room") != before


def test_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_version() is None
    package = tmp_path / "llvmlite"
    package.mkdir()
    (package / "__init__.py").write_bytes(b"")
    assert installed_version() == "of an unknown version"
    (package / "_version.py").write_text("# by versioneer.py (0.14)\nversion_version = '0.47.1'\n")
    assert installed_version() == "0.47.1"
