"""Both storages that maps can be in."""

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
