"""What programs are called with: one context class per kind of program."""

from __future__ import annotations

from typing import TypeAlias

from ebpf.vm.context.plain import PlainContext
from ebpf.vm.context.redirect import Redirect
from ebpf.vm.context.skb import SkbContext
from ebpf.vm.context.xdp import XdpContext

__all__ = ["Context", "PlainContext", "Redirect", "SkbContext", "XdpContext"]

Context: TypeAlias = SkbContext | XdpContext | PlainContext
