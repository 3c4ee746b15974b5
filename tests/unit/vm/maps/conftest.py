"""Both storages that maps can be in, and engines that use them."""

from __future__ import annotations

import pytest

from ebpf.errors import NotSupportedError
from ebpf.vm.maps.storage import VARIABLE, native_storage


@pytest.fixture(params=["python", "native"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make each storage in turn the one where `create_map` makes maps."""
    monkeypatch.setenv(VARIABLE, request.param)
    try:
        native_storage()
    except NotSupportedError as error:
        pytest.skip(str(error))
    name: str = request.param
    return name


@pytest.fixture
def native_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make maps in native storage, or skip."""
    monkeypatch.setenv(VARIABLE, "native")
    try:
        native_storage()
    except NotSupportedError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["reference", "interpreter"])
def engine(request: pytest.FixtureRequest) -> str:
    """Run on each of these engines in turn."""
    name: str = request.param
    return name
