"""Helper prototypes: arguments, result, who may call (struct bpf_func_proto; bpf_base_func_proto and its relatives).

Holds the helpers that the embedded kernel has. `programs` follows Linux 6.18, cut down to the program types that the
embedded kernel has; tests compare it with the running kernel. What is listed in REFUSED exists in Linux and can't
exist without a kernel around the program; both dictionaries together decide what the checker lets pass.
"""

from __future__ import annotations

from enum import StrEnum

from ebpf.abi.helpers import Helper
from ebpf.abi.types import ProgramType
from ebpf.plain import NamedTuple


class Arg(StrEnum):
    """What an argument has to be. A MEM kind is followed by its SIZE, which says how many bytes it spans."""

    SCALAR = "scalar"
    CTX = "ctx"
    MAP = "map"
    MAP_KEY = "map key"
    MAP_VALUE = "map value"
    UNINIT_MAP_VALUE = "map value to fill"
    PEEKED_MAP_VALUE = "map value to fill or, for a bloom filter, to test"
    MEM = "memory"
    MEM_OR_NULL = "memory or null"
    UNINIT_MEM = "memory to fill"
    UNINIT_MEM_OR_NULL = "memory to fill or null"
    SIZE = "size"
    SIZE_OR_ZERO = "size or zero"
    CALLBACK = "callback"
    CALLBACK_CTX = "callback context"
    SPIN_LOCK = "spin lock"
    RINGBUF_RECORD = "ring buffer record"
    CONST_STR = "constant string"
    UNINIT_LONG = "8 bytes to fill"


class Return(StrEnum):
    """What r0 is afterwards."""

    INTEGER = "integer"
    VOID = "void"
    MAP_VALUE_OR_NULL = "map value or null"
    RECORD_OR_NULL = "ring buffer record or null"


class Prototype(NamedTuple):
    """How a helper is called. `programs` None: every program type.

    `gpl_only` needs a GPL-compatible licence; after a call with `changes_packet` all packet pointers are void.
    """

    args: tuple[Arg, ...] = ()
    returns: Return = Return.INTEGER
    programs: frozenset[ProgramType] | None = None
    gpl_only: bool = False
    changes_packet: bool = False

    def allowed_for(self, type: ProgramType) -> bool:
        """Tell whether a program of that type may call it."""
        return self.programs is None or type in self.programs


_SCALAR, _CTX, _MAP, _KEY, _VALUE = Arg.SCALAR, Arg.CTX, Arg.MAP, Arg.MAP_KEY, Arg.MAP_VALUE
_MEM, _FILL, _SIZE, _SIZE_OR_ZERO = Arg.MEM, Arg.UNINIT_MEM, Arg.SIZE, Arg.SIZE_OR_ZERO

_TC = frozenset((ProgramType.SCHED_CLS, ProgramType.SCHED_ACT))
_XDP = frozenset((ProgramType.XDP,))
_SKB = _TC | {ProgramType.SOCKET_FILTER, ProgramType.CGROUP_SKB}
_CGROUP = _TC | {ProgramType.CGROUP_SKB}
_PACKETS = _SKB | _XDP
_FORWARDING = _TC | _XDP


def _tc(*args: Arg, changes_packet: bool = False) -> Prototype:
    return Prototype(args, programs=_TC, changes_packet=changes_packet)


def _xdp(*args: Arg, changes_packet: bool = False) -> Prototype:
    return Prototype(args, programs=_XDP, changes_packet=changes_packet)


PROTOTYPES: dict[Helper, Prototype] = {
    # Maps.
    Helper.MAP_LOOKUP_ELEM: Prototype((_MAP, _KEY), Return.MAP_VALUE_OR_NULL),
    Helper.MAP_UPDATE_ELEM: Prototype((_MAP, _KEY, _VALUE, _SCALAR)),
    Helper.MAP_DELETE_ELEM: Prototype((_MAP, _KEY)),
    Helper.MAP_PUSH_ELEM: Prototype((_MAP, _VALUE, _SCALAR)),
    Helper.MAP_POP_ELEM: Prototype((_MAP, Arg.UNINIT_MAP_VALUE)),
    Helper.MAP_PEEK_ELEM: Prototype((_MAP, Arg.PEEKED_MAP_VALUE)),
    Helper.MAP_LOOKUP_PERCPU_ELEM: Prototype((_MAP, _KEY, _SCALAR), Return.MAP_VALUE_OR_NULL),
    Helper.FOR_EACH_MAP_ELEM: Prototype((_MAP, Arg.CALLBACK, Arg.CALLBACK_CTX, _SCALAR)),
    # The engine carries out tail calls itself; this entry is for the checker.
    Helper.TAIL_CALL: Prototype((_CTX, _MAP, _SCALAR)),
    Helper.SPIN_LOCK: Prototype((Arg.SPIN_LOCK,), Return.VOID),
    Helper.SPIN_UNLOCK: Prototype((Arg.SPIN_LOCK,), Return.VOID),
    Helper.LOOP: Prototype((_SCALAR, Arg.CALLBACK, Arg.CALLBACK_CTX, _SCALAR)),
    # Time, randomness, processor, task.
    Helper.KTIME_GET_NS: Prototype(),
    Helper.KTIME_GET_BOOT_NS: Prototype(),
    Helper.KTIME_GET_TAI_NS: Prototype(),
    Helper.KTIME_GET_COARSE_NS: Prototype(programs=_PACKETS),
    Helper.JIFFIES64: Prototype(),
    Helper.GET_PRANDOM_U32: Prototype(),
    Helper.GET_SMP_PROCESSOR_ID: Prototype(),
    Helper.GET_NUMA_NODE_ID: Prototype(),
    Helper.GET_CURRENT_PID_TGID: Prototype(),
    Helper.GET_CURRENT_UID_GID: Prototype(),
    Helper.GET_CURRENT_COMM: Prototype((_FILL, _SIZE)),
    # Text.
    Helper.TRACE_PRINTK: Prototype((_MEM, _SIZE, _SCALAR, _SCALAR, _SCALAR), gpl_only=True),
    Helper.TRACE_VPRINTK: Prototype((_MEM, _SIZE, Arg.MEM_OR_NULL, _SIZE_OR_ZERO), gpl_only=True),
    Helper.SNPRINTF: Prototype(
        (Arg.UNINIT_MEM_OR_NULL, _SIZE_OR_ZERO, Arg.CONST_STR, Arg.MEM_OR_NULL, _SIZE_OR_ZERO), gpl_only=True
    ),
    Helper.STRNCMP: Prototype((_MEM, _SIZE, Arg.CONST_STR)),
    Helper.STRTOL: Prototype((_MEM, _SIZE, _SCALAR, Arg.UNINIT_LONG)),
    Helper.STRTOUL: Prototype((_MEM, _SIZE, _SCALAR, Arg.UNINIT_LONG)),
    # Events.
    Helper.PERF_EVENT_OUTPUT: Prototype((_CTX, _MAP, _SCALAR, _MEM, _SIZE_OR_ZERO), gpl_only=True),
    Helper.RINGBUF_OUTPUT: Prototype((_MAP, _MEM, _SIZE_OR_ZERO, _SCALAR)),
    Helper.RINGBUF_RESERVE: Prototype((_MAP, _SCALAR, _SCALAR), Return.RECORD_OR_NULL),
    Helper.RINGBUF_SUBMIT: Prototype((Arg.RINGBUF_RECORD, _SCALAR), Return.VOID),
    Helper.RINGBUF_DISCARD: Prototype((Arg.RINGBUF_RECORD, _SCALAR), Return.VOID),
    Helper.RINGBUF_QUERY: Prototype((_MAP, _SCALAR)),
    # Socket buffers.
    Helper.SKB_LOAD_BYTES: Prototype((_CTX, _SCALAR, _FILL, _SIZE), programs=_SKB),
    Helper.SKB_LOAD_BYTES_RELATIVE: Prototype((_CTX, _SCALAR, _FILL, _SIZE, _SCALAR), programs=_SKB),
    Helper.SKB_STORE_BYTES: _tc(_CTX, _SCALAR, _MEM, _SIZE, _SCALAR, changes_packet=True),
    Helper.L3_CSUM_REPLACE: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    Helper.L4_CSUM_REPLACE: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    Helper.CSUM_DIFF: Prototype(
        (Arg.MEM_OR_NULL, _SIZE_OR_ZERO, Arg.MEM_OR_NULL, _SIZE_OR_ZERO, _SCALAR), programs=_FORWARDING
    ),
    Helper.CSUM_UPDATE: _tc(_CTX, _SCALAR),
    Helper.CSUM_LEVEL: _tc(_CTX, _SCALAR),
    Helper.SKB_VLAN_PUSH: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    Helper.SKB_VLAN_POP: _tc(_CTX, changes_packet=True),
    Helper.SKB_CHANGE_TYPE: _tc(_CTX, _SCALAR),
    Helper.SKB_CHANGE_TAIL: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    Helper.SKB_CHANGE_HEAD: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    Helper.SKB_CHANGE_PROTO: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    Helper.SKB_ADJUST_ROOM: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    Helper.SKB_PULL_DATA: _tc(_CTX, _SCALAR, changes_packet=True),
    Helper.SET_HASH: _tc(_CTX, _SCALAR),
    Helper.SET_HASH_INVALID: _tc(_CTX),
    Helper.SKB_SET_TSTAMP: _tc(_CTX, _SCALAR, _SCALAR),
    Helper.SKB_ECN_SET_CE: Prototype((_CTX,), programs=_CGROUP),
    # XDP.
    Helper.XDP_ADJUST_HEAD: _xdp(_CTX, _SCALAR, changes_packet=True),
    Helper.XDP_ADJUST_TAIL: _xdp(_CTX, _SCALAR, changes_packet=True),
    Helper.XDP_ADJUST_META: _xdp(_CTX, _SCALAR, changes_packet=True),
    Helper.XDP_GET_BUFF_LEN: _xdp(_CTX),
    Helper.XDP_LOAD_BYTES: _xdp(_CTX, _SCALAR, _FILL, _SIZE),
    Helper.XDP_STORE_BYTES: _xdp(_CTX, _SCALAR, _MEM, _SIZE),
    # Where the packet goes.
    Helper.REDIRECT: Prototype((_SCALAR, _SCALAR), programs=_FORWARDING),
    Helper.REDIRECT_MAP: _xdp(_MAP, _SCALAR, _SCALAR),
    Helper.CLONE_REDIRECT: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    Helper.REDIRECT_PEER: _tc(_SCALAR, _SCALAR),
    Helper.REDIRECT_NEIGH: _tc(_SCALAR, Arg.MEM_OR_NULL, _SIZE_OR_ZERO, _SCALAR),
}  # fmt: skip
"""Helper → prototype."""

_NO_MEMORY = "the embedded kernel has no kernel or user memory that a program could read"
_NO_TASK = "the embedded kernel has no task structure"
REFUSED: dict[Helper, str] = {
    Helper.PROBE_READ: _NO_MEMORY,
    Helper.PROBE_READ_STR: _NO_MEMORY,
    Helper.PROBE_READ_KERNEL: _NO_MEMORY,
    Helper.PROBE_READ_KERNEL_STR: _NO_MEMORY,
    Helper.PROBE_READ_USER: _NO_MEMORY,
    Helper.PROBE_READ_USER_STR: _NO_MEMORY,
    Helper.PROBE_WRITE_USER: _NO_MEMORY,
    Helper.COPY_FROM_USER: _NO_MEMORY,
    Helper.COPY_FROM_USER_TASK: _NO_MEMORY,
    Helper.GET_CURRENT_TASK: _NO_TASK,
    Helper.GET_CURRENT_TASK_BTF: _NO_TASK,
    Helper.TASK_PT_REGS: _NO_TASK,
    Helper.GET_STACK: "the embedded kernel has no stack traces",
    Helper.GET_STACKID: "the embedded kernel has no stack traces",
}
"""Helper → why the embedded kernel can't have it (a line of the load log)."""
