"""What the semantics tests do to a map of each type, step by step."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.abi.types import Cmd
from tests.conformance.map_cases import OneMap

Steps = list[tuple[str, Callable[[OneMap], str]]]

ELEMENTS: Steps = [
    ("lookup missing", lambda m: m.lookup(9)),
    ("lookup unknown flag", lambda m: m.lookup(0, 8)),
    ("lookup with lock", lambda m: m.lookup(0, 4)),
    ("lookup with NOEXIST", lambda m: m.lookup(0, 1)),
    ("lookup without key", lambda m: m.elem(Cmd.MAP_LOOKUP_ELEM, None, bytearray(m.size), 0)),
    ("lookup with 8-byte key", lambda m: m.elem(Cmd.MAP_LOOKUP_ELEM, bytes(8), bytearray(m.size), 0)),
    ("lookup missing without room", lambda m: m.elem(Cmd.MAP_LOOKUP_ELEM, m.key(9), None, 0)),
    ("first key", lambda m: m.next_key(None)),
    ("update", lambda m: m.update(0)),
    ("update NOEXIST", lambda m: m.update(0, 1)),
    ("update EXIST", lambda m: m.update(0, 2)),
    ("update both", lambda m: m.update(0, 3)),
    ("update LOCK", lambda m: m.update(0, 4)),
    ("update NOEXIST LOCK", lambda m: m.update(0, 5)),
    ("update unknown flag", lambda m: m.update(0, 8)),
    ("update flag in upper half", lambda m: m.update(0, 1 << 32)),
    ("update EXIST of missing", lambda m: m.update(1, 2)),
    ("update NOEXIST of 1", lambda m: m.update(1, 1)),
    ("update without key", lambda m: m.elem(Cmd.MAP_UPDATE_ELEM, None, m.value, 0)),
    ("update without value", lambda m: m.elem(Cmd.MAP_UPDATE_ELEM, m.key(0), None, 0)),
    ("lookup 0", lambda m: m.lookup(0)),
    ("lookup 1", lambda m: m.lookup(1)),
    ("update 2", lambda m: m.update(2)),
    ("update 3", lambda m: m.update(3)),
    ("update 4 of full", lambda m: m.update(4)),
    ("update 5 of full", lambda m: m.update(5)),
    ("update 0xffffffff of full", lambda m: m.update(0xFFFFFFFF)),
    ("delete with flag", lambda m: m.delete(1, 1)),
    ("delete without key", lambda m: m.elem(Cmd.MAP_DELETE_ELEM, None, None, 0)),
    ("delete out of range", lambda m: m.delete(9)),
    ("take with NOEXIST", lambda m: m.take(1, 1)),
    ("take with lock", lambda m: m.take(1, 4)),
    ("take missing", lambda m: m.take(9)),
    ("delete 1", lambda m: m.delete(1)),
    ("delete 1 again", lambda m: m.delete(1)),
    ("next key of missing", lambda m: m.next_key(m.key(9)).partition(" ")[0]),
    ("walk", lambda m: m.walk()),
]

LAST: Steps = [
    ("update 0", lambda m: m.update(0)),
    ("take 0", lambda m: m.take(0)),
    ("take 0 again", lambda m: m.take(0)),
]
"""What works on fresh maps only: an LRU may have dropped the key."""

BATCHES: Steps = [
    ("update 4", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 4)),
    ("update none", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 0)),
    ("update EXIST in elem_flags", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 2, elem_flags=2)),
    ("update LOCK in elem_flags", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 2, elem_flags=4)),
    ("update with flags", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 4, flags=1)),
    ("update without keys", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 4, keys=None)),
    ("update without values", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 4, values=None)),
    ("lookup all", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8)),
    ("lookup none", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 0)),
    ("lookup NOEXIST in elem_flags", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, elem_flags=1)),
    ("lookup LOCK in elem_flags", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, elem_flags=4)),
    ("lookup with flags", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, flags=1)),
    ("lookup without out_batch", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, out_batch=None)),
    ("lookup without keys", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, keys=None)),
    ("lookup without values", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8, values=None)),
    ("walk", lambda m: m.walk_batches()),
    ("delete 2", lambda m: m.batch(Cmd.MAP_DELETE_BATCH, 2)),
    ("delete 2 again", lambda m: m.batch(Cmd.MAP_DELETE_BATCH, 2)),
    ("delete none", lambda m: m.batch(Cmd.MAP_DELETE_BATCH, 0)),
    ("delete NOEXIST in elem_flags", lambda m: m.batch(Cmd.MAP_DELETE_BATCH, 2, elem_flags=1)),
    ("take all", lambda m: m.batch(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, 8)),
    ("take all again", lambda m: m.batch(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, 8)),
    ("update 8 of full", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 8)),
    ("walk of full", lambda m: m.walk_batches()),
]

FROZEN: Steps = [
    ("update before", lambda m: m.update(0)),
    ("freeze", lambda m: m.freeze()),
    ("freeze again", lambda m: m.freeze()),
]

ACCESS: Steps = [
    ("update", lambda m: m.update(0)),
    ("lookup", lambda m: m.lookup(0)),
    ("take", lambda m: m.take(0)),
    ("delete", lambda m: m.delete(0)),
    ("first key", lambda m: m.next_key(None)),
    ("update batch", lambda m: m.batch(Cmd.MAP_UPDATE_BATCH, 2)),
    ("lookup batch", lambda m: m.batch(Cmd.MAP_LOOKUP_BATCH, 8)),
    ("delete batch", lambda m: m.batch(Cmd.MAP_DELETE_BATCH, 2)),
    ("take batch", lambda m: m.batch(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, 8)),
]
"""After FROZEN, and on maps opened for one direction."""

SECTIONS: dict[str, Steps] = {
    "elements": ELEMENTS,
    "take": LAST,
    "batches": BATCHES,
    "frozen": FROZEN + ACCESS,
    "read only": ACCESS,
    "write only": ACCESS,
}
"""Each runs on a new map."""
