"""Redirect helpers (net/core/filter.c). Nothing is sent: where to is kept for the result of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EINVAL
from ebpf.abi.types import MapType
from ebpf.vm import M32
from ebpf.vm.context.redirect import Redirect
from ebpf.vm.context.skb import SkbContext
from ebpf.vm.context.xdp import XdpContext
from ebpf.vm.helpers.map import require
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map

LOOPBACK = 1
"""The only interface of the embedded kernel."""

_INGRESS = 1
_TC_ACT_SHOT = 2
_TC_ACT_REDIRECT = 7
_XDP_ABORTED = 0
_XDP_REDIRECT = 4
_ACTIONS = 3
_BROADCAST = 1 << 3
_EXCLUDE_INGRESS = 1 << 4
_NEIGHBOUR_SIZE = 20
_DEVICES = frozenset((MapType.DEVMAP, MapType.DEVMAP_HASH))
_TARGETS = _DEVICES | {MapType.CPUMAP, MapType.XSKMAP}


def _redirect(run: Run, ifindex: int, flags: int) -> int:
    xdp = isinstance(run.context, XdpContext)
    if flags & ~(0 if xdp else _INGRESS):
        return _XDP_ABORTED if xdp else _TC_ACT_SHOT
    run.context.redirect = Redirect("redirect", ifindex & M32, None, flags)
    return _XDP_REDIRECT if xdp else _TC_ACT_REDIRECT


def _redirect_map(run: Run, map_: Map, key: int, flags: int) -> int:
    require(map_, _TARGETS)
    known = _BROADCAST | _EXCLUDE_INGRESS if map_.type in _DEVICES else 0
    # The low bits of the flags are the verdict where the map has no such target.
    if flags & ~(_ACTIONS | known):
        return _XDP_ABORTED
    key &= M32
    if map_.lookup(key.to_bytes(4, "little"), run.cpu) is None and not flags & _BROADCAST:
        run.context.redirect = None
        return flags & _ACTIONS
    run.context.redirect = Redirect("redirect_map", map_.id, key, flags)
    return _XDP_REDIRECT


def _clone(run: Run, context: SkbContext, ifindex: int, flags: int) -> int:
    ifindex &= M32
    if flags & ~_INGRESS or ifindex != LOOPBACK:
        return -EINVAL
    context.redirect = Redirect("clone_redirect", ifindex, None, flags)
    return 0


def _peer(run: Run, ifindex: int, flags: int) -> int:
    if flags:
        return _TC_ACT_SHOT
    run.context.redirect = Redirect("redirect_peer", ifindex & M32, None, flags)
    return _TC_ACT_REDIRECT


def _neighbour(run: Run, ifindex: int, params: memoryview, size: int, flags: int) -> int:
    if flags or 0 < size < _NEIGHBOUR_SIZE:
        return _TC_ACT_SHOT
    run.context.redirect = Redirect("redirect_neigh", ifindex & M32, None, flags)
    return _TC_ACT_REDIRECT


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.REDIRECT: _redirect,
    Helper.REDIRECT_MAP: _redirect_map,
    Helper.CLONE_REDIRECT: _clone,
    Helper.REDIRECT_PEER: _peer,
    Helper.REDIRECT_NEIGH: _neighbour,
}
