"""What every test of this process shares: mounts of its own, and the engines that programs are executed on."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ebpf.codegen.cache import DIRECTORY_VARIABLE
from ebpf.errors import NotSupportedError
from ebpf.vm.engines import VARIABLE, Engine, choose_engine
from tests.mounts import mount_own
from tests.privilege import missing_bpf_privilege

# Whoever runs the tests in the background makes them ignore Ctrl-C, which many of them send to themselves or children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ENGINES = ("reference", "interpreter", "jit")


def pytest_collection_finish() -> None:
    """Keep what pytest has collected out of garbage collections: those of the tests look at their own then."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled programs where nobody else does, in child processes, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pin into a BPF file system that nobody else sees, and that leaves nothing behind."""
    if missing_bpf_privilege() is None:
        mount_own(tmp_path_factory.mktemp("cgroup"))


@pytest.fixture(scope="session")
def jit() -> Engine:
    """The engine that compiles, where llvmlite is installed."""
    try:
        return choose_engine("jit")
    except NotSupportedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Make each engine in turn what "auto" is."""
    try:
        chosen = choose_engine(request.param)
    except NotSupportedError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        yield chosen
