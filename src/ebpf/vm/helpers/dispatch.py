"""The call of a helper: arguments are read by the prototype, the body runs, its result becomes r0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ebpf.abi.helpers import Helper
from ebpf.abi.linux.prototypes import PROTOTYPES, Prototype, Return
from ebpf.vm import M64
from ebpf.vm.fault import Fault
from ebpf.vm.helpers import checksum, environment, iterate, lock, map, perf, redirect, ring, skb, skb_shape, text, xdp
from ebpf.vm.helpers.arguments import READERS, Reader
from ebpf.vm.machine import Run

Body: TypeAlias = Callable[..., Any]
"""Takes the run and the arguments as the readers gave them; returns an integer (negative errno included) or None."""


BODIES: dict[Helper, Body] = {
    helper: body
    for module in (checksum, environment, iterate, lock, map, perf, redirect, ring, skb, skb_shape, text, xdp)
    for helper, body in module.BODIES.items()
}
"""Helper → what it does."""


def _compile(helper: Helper, prototype: Prototype) -> tuple[str, Body, tuple[Reader, ...], Prototype]:
    return helper.name.lower(), BODIES[helper], tuple(READERS[arg] for arg in prototype.args), prototype


_CALLS = {h: _compile(Helper(h), p) for h, p in PROTOTYPES.items() if h != Helper.TAIL_CALL}


def call_helper(run: Run, number: int, args: tuple[int, int, int, int, int]) -> int:
    """Call helper `number` with r1 to r5 and return r0, unsigned 64 bits.

    Raises:
        Fault: an argument is not what the prototype promises, or the helper may not be called now.
    """
    call = _CALLS.get(number)
    if call is None:
        raise Fault("helper", f"there is no helper {number}")
    name, body, readers, prototype = call
    if run.locks and number != Helper.SPIN_UNLOCK:
        raise Fault("helper", f"{name} was called while a spin lock is held")
    try:
        values = [reader(run, args, index) for index, reader in enumerate(readers)]
        result = body(run, *values)
    except Fault as fault:
        fault.message = f"{name}: {fault.message}"
        raise
    if prototype.changes_packet and run.context is not None and run.context.translated:
        run.context.move()
    if prototype.returns is Return.VOID:
        return 0
    return int(result) & M64
