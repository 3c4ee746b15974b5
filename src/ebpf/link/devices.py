"""Network interfaces by name, and the BPF links on them (LINK_CREATE with `target_ifindex`)."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from ebpf.errors import NotSupportedError

if TYPE_CHECKING:
    from ebpf.runtime.base import Runtime

_EMBEDDED = {"lo": 1}


def interface_index(runtime: Runtime, target: str | int) -> int:
    """Return an interface's number; the embedded runtime has one virtual interface, `lo`."""
    if isinstance(target, int):
        return target
    if runtime.name == "embedded":
        if target not in _EMBEDDED:
            raise NotSupportedError(
                f"interface {target!r}",
                runtime="embedded",
                alternative="it has 'lo'; link.packets() feeds files",
            )
        return _EMBEDDED[target]
    try:
        return socket.if_nametoindex(target)
    except OSError as error:
        raise OSError(errno.ENODEV, f"no network interface named {target!r}") from error  # that one has no errno
