"""What programs are called with: one context class per kind of program."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.vm.context.plain import PlainContext
    from ebpf.vm.context.redirect import Redirect
    from ebpf.vm.context.skb import SkbContext
    from ebpf.vm.context.xdp import XdpContext

    Context: TypeAlias = SkbContext | XdpContext | PlainContext

__all__ = ["PlainContext", "Redirect", "SkbContext", "XdpContext"]

__getattr__ = lazy_names(__name__, {
    "plain": ("PlainContext",),
    "redirect": ("Redirect",),
    "skb": ("SkbContext",),
    "xdp": ("XdpContext",),
})  # fmt: skip
