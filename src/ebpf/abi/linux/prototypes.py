"""Helper prototypes: arguments, result, who may call (struct bpf_func_proto; bpf_base_func_proto and its relatives).

Holds the helpers that the embedded kernel has. `programs` follows Linux 6.18, cut down to the program types that the
embedded kernel has; tests compare it with the running kernel. What is listed in REFUSED exists in Linux and can't
exist without a kernel around the program; both dictionaries together decide what the checker lets pass.
"""

from __future__ import annotations

from enum import StrEnum

from ebpf.abi.linux import functions
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


PROTOTYPES: dict[int, Prototype] = {
    # Maps.
    functions.BPF_FUNC_MAP_LOOKUP_ELEM: Prototype((_MAP, _KEY), Return.MAP_VALUE_OR_NULL),
    functions.BPF_FUNC_MAP_UPDATE_ELEM: Prototype((_MAP, _KEY, _VALUE, _SCALAR)),
    functions.BPF_FUNC_MAP_DELETE_ELEM: Prototype((_MAP, _KEY)),
    functions.BPF_FUNC_MAP_PUSH_ELEM: Prototype((_MAP, _VALUE, _SCALAR)),
    functions.BPF_FUNC_MAP_POP_ELEM: Prototype((_MAP, Arg.UNINIT_MAP_VALUE)),
    functions.BPF_FUNC_MAP_PEEK_ELEM: Prototype((_MAP, Arg.PEEKED_MAP_VALUE)),
    functions.BPF_FUNC_MAP_LOOKUP_PERCPU_ELEM: Prototype((_MAP, _KEY, _SCALAR), Return.MAP_VALUE_OR_NULL),
    functions.BPF_FUNC_FOR_EACH_MAP_ELEM: Prototype((_MAP, Arg.CALLBACK, Arg.CALLBACK_CTX, _SCALAR)),
    # The engine carries out tail calls itself; this entry is for the checker.
    functions.BPF_FUNC_TAIL_CALL: Prototype((_CTX, _MAP, _SCALAR)),
    functions.BPF_FUNC_SPIN_LOCK: Prototype((Arg.SPIN_LOCK,), Return.VOID),
    functions.BPF_FUNC_SPIN_UNLOCK: Prototype((Arg.SPIN_LOCK,), Return.VOID),
    functions.BPF_FUNC_LOOP: Prototype((_SCALAR, Arg.CALLBACK, Arg.CALLBACK_CTX, _SCALAR)),
    # Time, randomness, processor, task.
    functions.BPF_FUNC_KTIME_GET_NS: Prototype(),
    functions.BPF_FUNC_KTIME_GET_BOOT_NS: Prototype(),
    functions.BPF_FUNC_KTIME_GET_TAI_NS: Prototype(),
    functions.BPF_FUNC_KTIME_GET_COARSE_NS: Prototype(programs=_PACKETS),
    functions.BPF_FUNC_JIFFIES64: Prototype(),
    functions.BPF_FUNC_GET_PRANDOM_U32: Prototype(),
    functions.BPF_FUNC_GET_SMP_PROCESSOR_ID: Prototype(),
    functions.BPF_FUNC_GET_NUMA_NODE_ID: Prototype(),
    functions.BPF_FUNC_GET_CURRENT_PID_TGID: Prototype(),
    functions.BPF_FUNC_GET_CURRENT_UID_GID: Prototype(),
    functions.BPF_FUNC_GET_CURRENT_COMM: Prototype((_FILL, _SIZE)),
    # Text.
    functions.BPF_FUNC_TRACE_PRINTK: Prototype((_MEM, _SIZE, _SCALAR, _SCALAR, _SCALAR), gpl_only=True),
    functions.BPF_FUNC_TRACE_VPRINTK: Prototype((_MEM, _SIZE, Arg.MEM_OR_NULL, _SIZE_OR_ZERO), gpl_only=True),
    functions.BPF_FUNC_SNPRINTF: Prototype(
        (Arg.UNINIT_MEM_OR_NULL, _SIZE_OR_ZERO, Arg.CONST_STR, Arg.MEM_OR_NULL, _SIZE_OR_ZERO), gpl_only=True
    ),
    functions.BPF_FUNC_STRNCMP: Prototype((_MEM, _SIZE, Arg.CONST_STR)),
    functions.BPF_FUNC_STRTOL: Prototype((_MEM, _SIZE, _SCALAR, Arg.UNINIT_LONG)),
    functions.BPF_FUNC_STRTOUL: Prototype((_MEM, _SIZE, _SCALAR, Arg.UNINIT_LONG)),
    # Events.
    functions.BPF_FUNC_PERF_EVENT_OUTPUT: Prototype((_CTX, _MAP, _SCALAR, _MEM, _SIZE_OR_ZERO), gpl_only=True),
    functions.BPF_FUNC_RINGBUF_OUTPUT: Prototype((_MAP, _MEM, _SIZE_OR_ZERO, _SCALAR)),
    functions.BPF_FUNC_RINGBUF_RESERVE: Prototype((_MAP, _SCALAR, _SCALAR), Return.RECORD_OR_NULL),
    functions.BPF_FUNC_RINGBUF_SUBMIT: Prototype((Arg.RINGBUF_RECORD, _SCALAR), Return.VOID),
    functions.BPF_FUNC_RINGBUF_DISCARD: Prototype((Arg.RINGBUF_RECORD, _SCALAR), Return.VOID),
    functions.BPF_FUNC_RINGBUF_QUERY: Prototype((_MAP, _SCALAR)),
    # Socket buffers.
    functions.BPF_FUNC_SKB_LOAD_BYTES: Prototype((_CTX, _SCALAR, _FILL, _SIZE), programs=_SKB),
    functions.BPF_FUNC_SKB_LOAD_BYTES_RELATIVE: Prototype((_CTX, _SCALAR, _FILL, _SIZE, _SCALAR), programs=_SKB),
    functions.BPF_FUNC_SKB_STORE_BYTES: _tc(_CTX, _SCALAR, _MEM, _SIZE, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_L3_CSUM_REPLACE: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_L4_CSUM_REPLACE: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_CSUM_DIFF: Prototype(
        (Arg.MEM_OR_NULL, _SIZE_OR_ZERO, Arg.MEM_OR_NULL, _SIZE_OR_ZERO, _SCALAR), programs=_FORWARDING
    ),
    functions.BPF_FUNC_CSUM_UPDATE: _tc(_CTX, _SCALAR),
    functions.BPF_FUNC_CSUM_LEVEL: _tc(_CTX, _SCALAR),
    functions.BPF_FUNC_SKB_VLAN_PUSH: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SKB_VLAN_POP: _tc(_CTX, changes_packet=True),
    functions.BPF_FUNC_SKB_CHANGE_TYPE: _tc(_CTX, _SCALAR),
    functions.BPF_FUNC_SKB_CHANGE_TAIL: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SKB_CHANGE_HEAD: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SKB_CHANGE_PROTO: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SKB_ADJUST_ROOM: _tc(_CTX, _SCALAR, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SKB_PULL_DATA: _tc(_CTX, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_SET_HASH: _tc(_CTX, _SCALAR),
    functions.BPF_FUNC_SET_HASH_INVALID: _tc(_CTX),
    functions.BPF_FUNC_SKB_SET_TSTAMP: _tc(_CTX, _SCALAR, _SCALAR),
    functions.BPF_FUNC_SKB_ECN_SET_CE: Prototype((_CTX,), programs=_CGROUP),
    # XDP.
    functions.BPF_FUNC_XDP_ADJUST_HEAD: _xdp(_CTX, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_XDP_ADJUST_TAIL: _xdp(_CTX, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_XDP_ADJUST_META: _xdp(_CTX, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_XDP_GET_BUFF_LEN: _xdp(_CTX),
    functions.BPF_FUNC_XDP_LOAD_BYTES: _xdp(_CTX, _SCALAR, _FILL, _SIZE),
    functions.BPF_FUNC_XDP_STORE_BYTES: _xdp(_CTX, _SCALAR, _MEM, _SIZE),
    # Where the packet goes.
    functions.BPF_FUNC_REDIRECT: Prototype((_SCALAR, _SCALAR), programs=_FORWARDING),
    functions.BPF_FUNC_REDIRECT_MAP: _xdp(_MAP, _SCALAR, _SCALAR),
    functions.BPF_FUNC_CLONE_REDIRECT: _tc(_CTX, _SCALAR, _SCALAR, changes_packet=True),
    functions.BPF_FUNC_REDIRECT_PEER: _tc(_SCALAR, _SCALAR),
    functions.BPF_FUNC_REDIRECT_NEIGH: _tc(_SCALAR, Arg.MEM_OR_NULL, _SIZE_OR_ZERO, _SCALAR),
}  # fmt: skip
"""Helper → prototype."""

_NO_MEMORY = "the embedded kernel has no kernel or user memory that a program could read"
_NO_TASK = "the embedded kernel has no task structure"
REFUSED: dict[int, str] = {
    functions.BPF_FUNC_PROBE_READ: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_READ_STR: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_READ_KERNEL: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_READ_KERNEL_STR: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_READ_USER: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_READ_USER_STR: _NO_MEMORY,
    functions.BPF_FUNC_PROBE_WRITE_USER: _NO_MEMORY,
    functions.BPF_FUNC_COPY_FROM_USER: _NO_MEMORY,
    functions.BPF_FUNC_COPY_FROM_USER_TASK: _NO_MEMORY,
    functions.BPF_FUNC_GET_CURRENT_TASK: _NO_TASK,
    functions.BPF_FUNC_GET_CURRENT_TASK_BTF: _NO_TASK,
    functions.BPF_FUNC_TASK_PT_REGS: _NO_TASK,
    functions.BPF_FUNC_GET_STACK: "the embedded kernel has no stack traces",
    functions.BPF_FUNC_GET_STACKID: "the embedded kernel has no stack traces",
}
"""Helper → why the embedded kernel can't have it (a line of the load log)."""
