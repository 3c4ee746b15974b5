"""How a bare packet becomes a program's context: in native code (support/batch.c), and where Python goes on there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ebpf.abi.linux.contexts import SK_BUFF_INTERNAL_SIZE
from ebpf.abi.types import AttachType, ProgramType
from ebpf.vm import testskb, testxdp
from ebpf.vm.context import SkbContext, XdpContext
from ebpf.vm.context import skb as sk_buff
from ebpf.vm.context.xdp import ETH_HLEN, HARD_END
from ebpf.vm.context.xdp import HEADROOM as XDP_HEADROOM
from ebpf.vm.program import Program


@dataclass(frozen=True, slots=True)
class Form:
    """Packets of one program type. Sizes and offsets in bytes.

    `number` is enum form, `start` where the packet begins in its region, `hidden` how much of it the program does not
    see, `longest` what is run in native code; `fields` is the internal context as long as the packet is not known,
    which programs may write where `fields_writable`. A return value of `redirects` sends the packet elsewhere.
    `resume` makes the context of a packet that a run has begun on, `left` takes the packet out again.
    """

    number: int
    start: int
    hidden: int
    writable: bool
    longest: int
    fields: bytes
    fields_writable: bool
    resume: Callable[[bytes], XdpContext | SkbContext]
    left: Callable[[XdpContext | SkbContext], bytes]
    redirects: int | None
    shortest: int = ETH_HLEN


IN_MAPS = (AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP)
"""How XDP programs are attached that have no test run."""


def form_of(program: Program) -> Form | None:
    """Return how packets of a program are run in native code; None for types that run over none."""
    if program.attach_type in IN_MAPS:
        return None
    return _FORMS.get(program.type)


def _frame(packet: bytes) -> XdpContext:
    frame = XdpContext(packet)
    frame.set_interfaces(ingress=testskb.LOOPBACK)
    return frame


def _what_is_left_of_a_frame(context: XdpContext | SkbContext) -> bytes:
    assert isinstance(context, XdpContext)
    return context.frame()


def _skb(packet: bytes, *, link_layer: bool) -> SkbContext:
    skb = SkbContext(packet)
    skb.network_header = skb.data + ETH_HLEN
    skb.writable = link_layer
    if not link_layer:
        skb.pull_head(ETH_HLEN)
    return skb


def _tc(packet: bytes) -> SkbContext:
    return _skb(packet, link_layer=True)


def _headless(packet: bytes) -> SkbContext:
    return _skb(packet, link_layer=False)


def _what_is_left_of_tc(context: XdpContext | SkbContext) -> bytes:
    assert isinstance(context, SkbContext)
    return context.packet()


def _what_is_left_of_headless(context: XdpContext | SkbContext) -> bytes:
    assert isinstance(context, SkbContext)
    context.push_head(ETH_HLEN)
    return context.packet()


_NO_SKB = bytes(SK_BUFF_INTERNAL_SIZE)
_TC = Form(
    SkbContext.form,
    sk_buff.HEADROOM,
    0,
    True,
    testskb.MAX_LINEAR,
    _NO_SKB,
    True,
    _tc,
    _what_is_left_of_tc,
    testskb.REDIRECT,
)
_HEADLESS = Form(
    SkbContext.form,
    sk_buff.HEADROOM,
    ETH_HLEN,
    False,
    testskb.MAX_LINEAR,
    _NO_SKB,
    True,
    _headless,
    _what_is_left_of_headless,
    None,
)
_FORMS = {
    ProgramType.XDP: Form(
        XdpContext.form,
        XDP_HEADROOM,
        0,
        True,
        HARD_END - XDP_HEADROOM,
        bytes(_frame(b"").fields),
        False,
        _frame,
        _what_is_left_of_a_frame,
        testxdp.REDIRECT,
    ),
    ProgramType.SCHED_CLS: _TC,
    ProgramType.SCHED_ACT: _TC,
    ProgramType.CGROUP_SKB: _HEADLESS,
    ProgramType.SOCKET_FILTER: _HEADLESS,
}
