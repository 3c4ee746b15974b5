"""The helpers that call a function of the program back."""

from __future__ import annotations

from ebpf.abi.linux import functions

CALLBACKS: dict[int, tuple[int, dict[int, int]]] = {
    functions.BPF_FUNC_FOR_EACH_MAP_ELEM: (2, {4: 3}),
    functions.BPF_FUNC_TIMER_SET_CALLBACK: (2, {}),
    functions.BPF_FUNC_FIND_VMA: (3, {3: 4}),
    functions.BPF_FUNC_LOOP: (2, {2: 3}),
    functions.BPF_FUNC_USER_RINGBUF_DRAIN: (2, {2: 3}),
}
"""Helper → register of the callback, and callback's register → register it is passed from."""
