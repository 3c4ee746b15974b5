"""bpf_perf_event_output (net/core/filter.c bpf_skb_event_output, bpf_xdp_event_output; kernel/trace/bpf_trace.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EFAULT, EINVAL
from ebpf.abi.types import MapType
from ebpf.vm.helpers.map import require
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map
from ebpf.vm.maps.perf import PerfEventArrayMap

_ARRAYS = frozenset((MapType.PERF_EVENT_ARRAY,))
_INDEX = 0xFFFFFFFF
_CTXLEN_SHIFT = 32
_CTXLEN = 0xFFFFF << _CTXLEN_SHIFT


def _output(run: Run, context: Any, map_: Map, flags: int, data: memoryview, size: int) -> int:
    require(map_, _ARRAYS)
    assert isinstance(map_, PerfEventArrayMap)
    # Only programs with a packet may append the start of it, by a length in bits 32 to 51.
    if flags & ~(_INDEX | (_CTXLEN if context.translated else 0)):
        return -EINVAL
    packet_size = (flags & _CTXLEN) >> _CTXLEN_SHIFT
    if packet_size > (len(context) if context.translated else 0):
        return -EFAULT
    sample = data.tobytes()
    if packet_size:
        sample += context.read(0, packet_size)
    return map_.output(run.cpu, flags & _INDEX, sample)


BODIES: dict[Helper, Callable[..., Any]] = {Helper.PERF_EVENT_OUTPUT: _output}
