"""The faults: where, which text is replaced by what, and the tests that have to notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong line. `old` must occur exactly once in `file`, a path below src/ebpf; `tests` lie below tests/."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_MAPS = (
    "conformance/test_fine_points.py",
    "conformance/test_map_semantics.py",
    "conformance/test_hash.py",
    "conformance/test_array.py",
    "unit/vm/maps",
)
_ISA = ("unit/vm/test_isa_arithmetic.py", "unit/vm/test_isa_memory.py", "unit/vm/test_isa_jumps.py")
_RUNS = (
    "conformance/test_fine_points.py",
    "conformance/test_test_run.py",
    "conformance/test_context.py",
    "conformance/test_program.py",
)
_OBJECTS = (
    "conformance/test_fine_points.py",
    "conformance/test_kernel_objects.py",
    "conformance/test_leaks.py",
    "unit/embedded",
)
_RINGS = ("conformance/test_ring.py", "conformance/test_perf.py", "unit/vm/maps")
_HELPERS = ("unit/vm/test_helpers.py", "unit/vm/test_helper_faults.py", "unit/vm/test_engines.py", *_RUNS)
_HOSTILE = ("malicious/test_corpus.py",)
_GENERATED = ("unit/vm/test_valid_programs.py",)

FAULTS: tuple[Fault, ...] = (
    # Maps.
    Fault(
        "LRU evicts the element used last",
        "vm/maps/lru.py",
        "self.remove(next(iter(recent)))",
        "self.remove(next(reversed(recent)))",
        _MAPS,
    ),
    Fault(
        "look-up by a program is no use in LRU order",
        "vm/maps/lru.py",
        "            self.touch(key)\n            return element.values",
        "            return element.values",
        _MAPS,
    ),
    Fault(
        "hash tables forget EEXIST",
        "vm/maps/base.py",
        "        if exists and flags & ~LOCK == NOEXIST:\n            return -EEXIST\n",
        "",
        _MAPS,
    ),
    Fault(
        "hash tables forget ENOENT of EXIST",
        "vm/maps/base.py",
        "        if not exists and flags & ~LOCK == EXIST:\n            return -ENOENT\n",
        "",
        _MAPS,
    ),
    Fault(
        "arrays ignore NOEXIST",
        "vm/maps/base.py",
        "        if flags & NOEXIST:\n            return -EEXIST\n",
        "",
        _MAPS,
    ),
    Fault(
        "a hash table takes one element too many",
        "vm/maps/hash.py",
        "if len(self._table) >= self.max_entries:",
        "if len(self._table) > self.max_entries:",
        _MAPS,
    ),
    Fault(
        "take does not delete",
        "vm/maps/hash.py",
        "                self.remove(key)\n            return data",
        "                pass\n            return data",
        _MAPS,
    ),
    Fault(
        "per-CPU values lie without rounding",
        "vm/maps/percpu.py",
        "        stride = round_up(self.value_size, 8)\n        return [",
        "        stride = self.value_size\n        return [",
        ("conformance/test_percpu.py", *_MAPS),
    ),
    Fault(
        "a queue gives the newest first",
        "vm/maps/queue.py",
        "return self._values.pop() if self._newest_first else self._values.popleft()",
        "return self._values.popleft() if self._newest_first else self._values.pop()",
        ("conformance/test_queue.py", *_MAPS),
    ),
    Fault(
        "LPM compares one bit less",
        "vm/maps/lpm.py",
        ".get(address >> (self.max_prefix - candidate))\n                    if",
        ".get(address >> (self.max_prefix - candidate + 1) << 1)\n                    if",
        ("conformance/test_lpm.py", *_MAPS),
    ),
    Fault(
        "LPM passes over a prefix as long as the key",
        "vm/maps/lpm.py",
        "if candidate <= length:",
        "if candidate < length:",
        ("conformance/test_lpm.py", *_MAPS),
    ),
    Fault(
        "the batch position skips an element",
        "runtime/embedded/batch.py",
        "(following or 0).to_bytes",
        "((following or 0) + (following is not None)).to_bytes",
        _MAPS,
    ),
    Fault(
        "frozen maps take writes",
        "runtime/embedded/maps.py",
        "        if obj.map.frozen:\n",
        "        if obj.map.frozen and not obj.id:\n",
        _MAPS,
    ),
    Fault(
        "programs write to RDONLY_PROG maps",
        "vm/maps/base.py",
        "return not self.flags & _RDONLY_PROG",
        "return True",
        (*_HELPERS, *_MAPS),
    ),
    Fault(
        "maps of maps take maps of another kind",
        "vm/maps/nested.py",
        "    if facts[0] != facts[1]:\n        return False\n",
        "",
        _MAPS,
    ),
    # Rings.
    Fault(
        "ring records begin 8 bytes late",
        "vm/maps/ring.py",
        "self.data[at + HEADER_SIZE : at + HEADER_SIZE + size]",
        "self.data[at + 2 * HEADER_SIZE : at + 2 * HEADER_SIZE + size]",
        _RINGS,
    ),
    Fault(
        "discarded records look like others",
        "vm/maps/ring.py",
        "self._commit(reservation, reservation.size | DISCARD, flags)",
        "self._commit(reservation, reservation.size, flags)",
        _RINGS,
    ),
    Fault(
        "perf rings forget what was lost",
        "vm/maps/perf.py",
        "                    self._lost += 1\n",
        "                    self._lost += 0\n",
        _RINGS,
    ),
    # Instructions.
    Fault(
        "ldxsb does not extend the sign",
        "vm/steps.py",
        "r[dst] = signed(r[dst], 8 * size) & M64",
        "r[dst] = r[dst] & M64",
        _ISA,
    ),
    Fault(
        "32-bit addition keeps the upper half",
        "vm/alu.py",
        "BPF_ADD: lambda a, b: (a + b) & M32",
        "BPF_ADD: lambda a, b: (a + b) & M64",
        _ISA,
    ),
    Fault(
        "jslt compares unsigned",
        "vm/alu.py",
        "BPF_JSLT: lambda a, b: signed(a, 64) < signed(b, 64)",
        "BPF_JSLT: lambda a, b: a < b",
        _ISA,
    ),
    Fault(
        "a stack has 8 bytes too many",
        "vm/reference.py",
        'self.memory.add(bytearray(STACK_SIZE), f"stack of frame {depth}")',
        'self.memory.add(bytearray(8 + STACK_SIZE), f"stack of frame {depth}") + 8',
        ("unit/vm/test_engines.py", *_ISA),
    ),
    Fault("32 tail calls", "vm/machine.py", "MAX_TAIL_CALLS = 33", "MAX_TAIL_CALLS = 32", _HELPERS),
    Fault(
        "bpf_loop counts one less when stopped",
        "vm/helpers/iterate.py",
        "return index + 1",
        "return index",
        _HELPERS,
    ),
    # Packets.
    Fault(
        "data_end of XDP is one too high",
        "vm/context/xdp.py",
        "base + self.data_end, base + self.data_meta)",
        "base + self.data_end + 1, base + self.data_meta)",
        _RUNS,
    ),
    Fault(
        "one byte behind an XDP packet can be read",
        "vm/context/xdp.py",
        "self._memory.limit(base, self.data_meta, self.data_end)",
        "self._memory.limit(base, self.data_meta, self.data_end + 1)",
        _HELPERS,
    ),
    Fault(
        "adjust_head leaves data where it was",
        "vm/helpers/xdp.py",
        "    frame.data = data\n",
        "",
        _RUNS,
    ),
    Fault(
        "adjust_tail shows old bytes",
        "vm/helpers/xdp.py",
        "        memoryview(frame.page)[frame.data_end : end] = bytes(delta)\n",
        "        pass\n",
        _RUNS,
    ),
    Fault(
        "metadata is missing in the context that comes back",
        "vm/testxdp.py",
        'pack_into("<II", md, 0, frame.data - frame.data_meta,',
        'pack_into("<II", md, 0, 0,',
        _RUNS,
    ),
    Fault(
        "csum_diff does not fold",
        "vm/helpers/checksum.py",
        "    return to16(total)\n",
        "    return total\n",
        _RUNS,
    ),
    Fault(
        "data_size_out is what was copied",
        "runtime/embedded/testrun.py",
        "attr.data_size_out = len(result.data)",
        "attr.data_size_out = min(len(result.data), attr.data_size_out or len(result.data))",
        (*_RUNS, "unit/embedded"),
    ),
    # Objects.
    Fault(
        "programs never let go of their maps",
        "runtime/embedded/objects.py",
        "                self.release_once(obj.holds)\n",
        "                del obj.holds[0]\n",
        _OBJECTS,
    ),
    Fault(
        "ids are used again",
        "runtime/embedded/objects.py",
        "obj.id = self._last.get(obj.kind, 0) + 1",
        "obj.id = max(self._tables.get(obj.kind, {}), default=0) + 1",
        _OBJECTS,
    ),
    Fault(
        "pins do not keep their object alive",
        "runtime/embedded/pins.py",
        "            self._state.registry.retain(obj, user=True)\n        return 0",
        "        return 0",
        _OBJECTS,
    ),
    Fault(
        "a run leaves spin locks held after a fault",
        "vm/machine.py",
        "return release_all(run), discard_all(run)",
        "return len(run.locks), discard_all(run)",
        _HELPERS,
    ),
    # What only hostile or random programs notice.
    Fault(
        "records stay accessible once they are handed over",
        "vm/helpers/ring.py",
        "    run.memory.discard(address)",
        "    pass",
        _HOSTILE,
    ),
    Fault(
        "the packet keeps its old addresses when it moves",
        "vm/context/xdp.py",
        "            self._memory.remove(self._packet)\n",
        "            pass\n",
        _HOSTILE,
    ),
    Fault(
        "the reference engine keeps the frames of functions that have returned",
        "vm/reference.py",
        "        registers = self.registers\n        self.memory.remove(registers[10])\n",
        "        registers = self.registers\n",
        _HOSTILE,
    ),
    Fault(
        "tail calls take anything for the context",
        "vm/machine.py",
        "        if context != self.start:",
        "        if context < 0:",
        _HOSTILE,
    ),
    Fault(
        "any number is a function that may be called back",
        "vm/machine.py",
        "        if slot not in self.run.program.callbacks:",
        "        if slot < 0:",
        _HOSTILE,
    ),
    Fault(
        "the reference engine extends signed loads of 32 bits only",
        "vm/steps.py",
        "        r[dst] = signed(r[dst], 8 * size) & M64",
        "        r[dst] = signed(r[dst], 32) & M64",
        _GENERATED,
    ),
)
