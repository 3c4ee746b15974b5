"""The helpers that call a function of the program back."""

from __future__ import annotations

from ebpf.abi.helpers import Helper

CALLBACKS: dict[int, tuple[int, dict[int, int]]] = {
    Helper.FOR_EACH_MAP_ELEM: (2, {4: 3}),
    Helper.TIMER_SET_CALLBACK: (2, {}),
    Helper.FIND_VMA: (3, {3: 4}),
    Helper.LOOP: (2, {2: 3}),
    Helper.USER_RINGBUF_DRAIN: (2, {2: 3}),
}
"""Helper → register of the callback, and callback's register → register it is passed from."""
