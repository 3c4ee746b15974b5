"""Where a program sent its packet (struct bpf_redirect_info, net/core/filter.c)."""

from __future__ import annotations

from ebpf.plain import NamedTuple


class Redirect(NamedTuple):
    """Result of a redirect helper; the same fields as `ebpf.runtime.facts.Redirect`, which the runtime hands out.

    `helper` is the helper's name without `bpf_`, `target` an ifindex or the map's id, `key` the map key (None
    without a map).
    """

    helper: str
    target: int
    key: int | None
    flags: int
