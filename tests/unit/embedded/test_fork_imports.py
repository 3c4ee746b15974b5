"""What happens in the child of a fork before anybody else runs there imports nothing.

A thread of the parent may have been in the middle of an import: its module stays locked in the child, for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORKS = """
import builtins, os

imported, whole = [], builtins.__import__

def note(name, *rest, **named):
    imported.append(name)
    return whole(name, *rest, **named)

def begin():
    builtins.__import__ = note

def end():
    builtins.__import__ = whole

os.register_at_fork(after_in_child=begin)  # the hooks of others come after it
from ebpf.abi.types import MapType
from ebpf.vm.jit import tiers
from tests.unit.embedded_programs import created, kernel, load, ring_program

with kernel(cpus=2) as runtime:
    maps = [created(runtime, kind, 4, 8, 4) for kind in (MapType.ARRAY, MapType.HASH, MapType.PERCPU_HASH)]
    rings = [created(runtime, MapType.RINGBUF, 0, 0, 4096), created(runtime, MapType.PERF_EVENT_ARRAY, 4, 4, 2)]
    opened = [runtime.open_ring(rings[0]), runtime.open_ring(rings[1], cpu=0)]
    waiter = runtime.waiter(opened, rings[0])
    program = ring_program(runtime, rings[0])
    call = runtime.runner(program).function()
    call(bytearray(64))
    os.register_at_fork(after_in_child=end)
    child = os.fork()
    if not child:
        print(imported, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for owner in (waiter, *opened, *(facts.handle for facts in (program, *maps, *rings))):
        owner.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_the_hooks_of_a_fork_import_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
