"""What answers each command of bpf() but PROG_LOAD, with which every program begins.

What works on maps, links, pins and so on is imported by the first command that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ebpf.abi import linux
from ebpf.abi.linux import EINVAL
from ebpf.runtime.embedded.objects import KernelObject
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import BtfLoad, EnableStats, GetId, ObjInfo, ProgBindMap, ProgTestRun
    from ebpf.runtime.embedded.attachments import AttachCommands
    from ebpf.runtime.embedded.batch import BatchCommands
    from ebpf.runtime.embedded.links import LinkCommands
    from ebpf.runtime.embedded.maps import MapCommands
    from ebpf.runtime.embedded.pins import PinCommands
    from ebpf.runtime.embedded.state import State

Command = Callable[[Any], int]

_BY_ID = (
    ("PROG", linux.BPF_PROG_GET_NEXT_ID, linux.BPF_PROG_GET_FD_BY_ID),
    ("MAP", linux.BPF_MAP_GET_NEXT_ID, linux.BPF_MAP_GET_FD_BY_ID),
    ("BTF", linux.BPF_BTF_GET_NEXT_ID, linux.BPF_BTF_GET_FD_BY_ID),
    ("LINK", linux.BPF_LINK_GET_NEXT_ID, linux.BPF_LINK_GET_FD_BY_ID),
)
_RUN_TIME = 0
"""BPF_STATS_RUN_TIME."""


class Commands:
    """The commands of one kernel. Threads may share it; `pin_dir` is a directory of the host for pins."""

    def __init__(self, state: State, pin_dir: str | os.PathLike[str] | None) -> None:
        self._state = state
        self._pin_dir = pin_dir
        self._links: LinkCommands | None = None
        self._pins: PinCommands | None = None
        self.table = self._table()

    def _table(self) -> dict[int, Command]:
        table: dict[int, Command] = {
            linux.BPF_MAP_CREATE: lambda attr: self._maps().create(attr),
            linux.BPF_MAP_LOOKUP_ELEM: lambda attr: self._maps().lookup(attr),
            linux.BPF_MAP_UPDATE_ELEM: lambda attr: self._maps().update(attr),
            linux.BPF_MAP_DELETE_ELEM: lambda attr: self._maps().delete(attr),
            linux.BPF_MAP_GET_NEXT_KEY: lambda attr: self._maps().next_key(attr),
            linux.BPF_MAP_LOOKUP_AND_DELETE_ELEM: lambda attr: self._maps().take(attr),
            linux.BPF_MAP_FREEZE: lambda attr: self._maps().freeze(attr),
            linux.BPF_MAP_LOOKUP_BATCH: lambda attr: self._batch().lookup(attr),
            linux.BPF_MAP_LOOKUP_AND_DELETE_BATCH: lambda attr: self._batch().take(attr),
            linux.BPF_MAP_UPDATE_BATCH: lambda attr: self._batch().update(attr),
            linux.BPF_MAP_DELETE_BATCH: lambda attr: self._batch().delete(attr),
            linux.BPF_PROG_BIND_MAP: self._bind_map,
            linux.BPF_PROG_TEST_RUN: self._test_run,
            linux.BPF_PROG_ATTACH: lambda attr: self._attachments().attach(attr),
            linux.BPF_PROG_DETACH: lambda attr: self._attachments().detach(attr),
            linux.BPF_PROG_QUERY: lambda attr: self._attachments().query(attr),
            linux.BPF_OBJ_PIN: lambda attr: self.pins().pin(attr),
            linux.BPF_OBJ_GET: lambda attr: self.pins().get(attr),
            linux.BPF_OBJ_GET_INFO_BY_FD: self._info,
            linux.BPF_RAW_TRACEPOINT_OPEN: lambda attr: self._link_commands().open_raw_tracepoint(attr),
            linux.BPF_BTF_LOAD: self._load_btf,
            linux.BPF_LINK_CREATE: lambda attr: self._link_commands().create(attr),
            linux.BPF_LINK_UPDATE: lambda attr: self._link_commands().update(attr),
            linux.BPF_LINK_DETACH: lambda attr: self._link_commands().detach(attr),
            linux.BPF_ENABLE_STATS: self._enable_stats,
        }
        for kind, next_id, open_id in _BY_ID:
            table[next_id], table[open_id] = self._next_id(kind), self._open_id(kind)
        return table

    def pins(self) -> PinCommands:
        """Return what works on the kernel's pins."""
        from ebpf.runtime.embedded.pins import PinCommands

        with self._state.registry.lock:
            if self._pins is None:
                self._pins = PinCommands(self._state, pin_dir=self._pin_dir)
            return self._pins

    def release_pins(self) -> None:
        """Let go of what is pinned, as the kernel ends."""
        if self._pins is not None:
            self._pins.release_all()

    def _maps(self) -> MapCommands:
        from ebpf.runtime.embedded.maps import MapCommands

        return MapCommands(self._state)

    def _batch(self) -> BatchCommands:
        from ebpf.runtime.embedded.batch import BatchCommands

        return BatchCommands(self._state, self._maps())

    def _link_commands(self) -> LinkCommands:
        from ebpf.runtime.embedded.links import LinkCommands

        with self._state.registry.lock:
            if self._links is None:
                self._links = LinkCommands(self._state)
            return self._links

    def _attachments(self) -> AttachCommands:
        from ebpf.runtime.embedded.attachments import AttachCommands

        return AttachCommands(self._state, self._link_commands())

    def _test_run(self, attr: ProgTestRun) -> int:
        from ebpf.runtime.embedded.testrun import answer

        return answer(self._state, attr)

    def _bind_map(self, attr: ProgBindMap) -> int:
        """PROG_BIND_MAP: the program keeps the map alive."""
        if attr.flags:
            raise Rejected(EINVAL, "the command takes no flags")
        program = self._state.handles.program(attr.prog_fd)
        _, obj = self._state.handles.map_file(attr.map_fd)
        with program.lock:
            if obj not in program.holds:
                self._state.registry.retain(obj)
                program.holds.append(obj)
        return 0

    def _info(self, attr: ObjInfo) -> int:
        from ebpf.runtime.embedded import info

        return info.answer(self._state, attr)

    def _load_btf(self, attr: BtfLoad) -> int:
        from ebpf.runtime.embedded import btf

        return btf.load(self._state, attr)

    def _next_id(self, kind: str) -> Command:
        def answer(attr: GetId) -> int:
            from ebpf.runtime.embedded import ids

            return ids.next_id(self._state, ids.KINDS[kind], attr)

        return answer

    def _open_id(self, kind: str) -> Command:
        def answer(attr: GetId) -> int:
            from ebpf.runtime.embedded import ids

            return ids.open_id(self._state, ids.KINDS[kind], attr)

        return answer

    def _enable_stats(self, attr: EnableStats) -> int:
        if attr.type != _RUN_TIME:
            raise Rejected(EINVAL, f"there are no statistics of type {attr.type}")
        obj = self._state.registry.add(_Statistics(self._count_statistics))
        self._count_statistics()
        return self._state.open_new(obj)

    def _count_statistics(self) -> None:
        with self._state.registry.lock:
            self._state.statistics = len(self._state.registry.all(_Statistics))


class _Statistics(KernelObject):
    """What ENABLE_STATS returns: run times are counted while one of these lives."""

    kind = "statistics"

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._ended = ended

    def destroy(self) -> None:
        self._ended()
