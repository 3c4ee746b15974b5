"""The runtimes that every conformance case runs on, and the count of what ran where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import ebpf.runtime
from ebpf.runtime import Runtime
from ebpf.vm.engines import VARIABLE
from ebpf.vm.maps.storage import VARIABLE as STORAGE_VARIABLE
from tests.conformance.exceptions import reason
from tests.privilege import missing_bpf_privilege

RUNTIMES = ("embedded", "embedded-reference", "linux")
"""The embedded runtime twice: with the engine that it chooses, and with the reference engine."""
PYTHON_MAPS = "embedded-python-maps"
"""The embedded runtime with maps in Python storage, for the cases that are about maps."""
_ABOUT_MAPS = frozenset(
    {
        "test_array", "test_elements", "test_fine_points", "test_hash", "test_lpm", "test_map_semantics", "test_percpu",
        "test_queue", "test_ring", "test_ring_memory", "test_threads",
    }
)  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each case on every runtime."""
    if "runtime" in metafunc.fixturenames:
        about_maps = metafunc.module.__name__.rpartition(".")[2] in _ABOUT_MAPS
        metafunc.parametrize("runtime", (*RUNTIMES, *[PYTHON_MAPS] * about_maps), indirect=True)


@pytest.fixture
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Yield each runtime in turn; an embedded one is new for every case."""
    name: str = request.param
    request.node.user_properties.append(("runtime", name))
    why = reason(f"{request.path.stem}.{request.node.originalname}", name)
    if why is not None:
        pytest.skip(f"not for {name}: {why}")
    if name == "linux":
        missing = missing_bpf_privilege()
        if missing is not None:
            pytest.skip(missing)
        yield ebpf.runtime.linux()
        return
    monkeypatch.setenv(VARIABLE, "reference" if name.endswith("reference") else "auto")
    monkeypatch.setenv(STORAGE_VARIABLE, "python" if name == PYTHON_MAPS else "auto")
    embedded = ebpf.runtime.embedded()
    yield embedded
    embedded.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many cases ran on which runtime."""
    counts: Counter[tuple[object, str]] = Counter()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            properties = getattr(report, "user_properties", ())  # a module that is skipped whole has none
            counts.update((value, outcome) for name, value in properties if name == "runtime")
    for runtime_name in sorted({str(name) for name, _ in counts}):
        shown = ", ".join(f"{counts[runtime_name, outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        terminalreporter.write_line(f"conformance on {runtime_name}: {shown}")
