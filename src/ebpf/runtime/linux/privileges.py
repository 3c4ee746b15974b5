"""What a refused process lacks: capabilities (man 7 capabilities), sysctls, lockdown, user namespaces."""

from __future__ import annotations

from ebpf.abi.types import AttachType, Cmd, ProgramType
from ebpf.runtime.attrs import Attr, LinkCreate, ProgLoad
from ebpf.runtime.errors import Privilege

# include/uapi/linux/capability.h
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_PERFMON": 38, "CAP_BPF": 39}

# kernel/bpf/syscall.c: is_net_admin_prog_type(), is_perfmon_prog_type(); `cgroup_skb` and socket filters need less.
_NET = frozenset({
    ProgramType.SCHED_CLS, ProgramType.SCHED_ACT, ProgramType.XDP, ProgramType.LWT_IN, ProgramType.LWT_OUT,
    ProgramType.LWT_XMIT, ProgramType.LWT_SEG6LOCAL, ProgramType.SK_SKB, ProgramType.SK_MSG,
    ProgramType.FLOW_DISSECTOR, ProgramType.CGROUP_DEVICE, ProgramType.CGROUP_SOCK, ProgramType.CGROUP_SOCK_ADDR,
    ProgramType.CGROUP_SOCKOPT, ProgramType.CGROUP_SYSCTL, ProgramType.SOCK_OPS, ProgramType.EXT,
    ProgramType.NETFILTER,
})  # fmt: skip
_TRACING = frozenset({
    ProgramType.KPROBE, ProgramType.TRACEPOINT, ProgramType.PERF_EVENT, ProgramType.RAW_TRACEPOINT,
    ProgramType.RAW_TRACEPOINT_WRITABLE, ProgramType.TRACING, ProgramType.LSM, ProgramType.STRUCT_OPS,
    ProgramType.EXT,
})  # fmt: skip
_ADMIN = frozenset({
    Cmd.PROG_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID, Cmd.BTF_GET_NEXT_ID, Cmd.LINK_GET_NEXT_ID, Cmd.PROG_GET_FD_BY_ID,
    Cmd.MAP_GET_FD_BY_ID, Cmd.BTF_GET_FD_BY_ID, Cmd.LINK_GET_FD_BY_ID, Cmd.ENABLE_STATS, Cmd.TASK_FD_QUERY,
})  # fmt: skip
_TRACING_LINKS = frozenset({
    AttachType.TRACE_RAW_TP, AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN,
    AttachType.LSM_MAC, AttachType.TRACE_ITER, AttachType.PERF_EVENT, AttachType.TRACE_KPROBE_MULTI,
    AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_KPROBE_SESSION, AttachType.TRACE_UPROBE_SESSION,
    AttachType.TRACE_FSESSION,
})  # fmt: skip
_NET_CALLS = frozenset({Cmd.PROG_QUERY, Cmd.PROG_ATTACH, Cmd.PROG_DETACH, Cmd.LINK_CREATE})


def effective_capabilities() -> int:
    """Return the effective capability set of this thread as bits."""
    for line in _read("/proc/thread-self/status").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def has_capability(name: str, effective: int) -> bool:
    """Say whether the bits grant `name`; for bpf() CAP_SYS_ADMIN stands in for the others."""
    return bool(effective >> CAPABILITIES[name] & 1 or effective >> CAPABILITIES["CAP_SYS_ADMIN"] & 1)


def needed_capabilities(cmd: int | str, attr: Attr | None) -> tuple[str, ...]:
    """Return the capabilities that the call asks for (Linux 5.8 and newer; CAP_SYS_ADMIN before)."""
    if cmd in _ADMIN:
        return ("CAP_SYS_ADMIN",)
    if isinstance(attr, LinkCreate) and attr.attach_type in _TRACING_LINKS:
        return ("CAP_PERFMON",)
    if cmd in _NET_CALLS:
        return ("CAP_NET_ADMIN",)
    if cmd == "perf_event_open":
        return ("CAP_PERFMON",)
    needed = ["CAP_BPF"]
    if isinstance(attr, ProgLoad):
        needed += ["CAP_NET_ADMIN"] if attr.prog_type in _NET else []
        needed += ["CAP_PERFMON"] if attr.prog_type in _TRACING else []
    return tuple(needed)


def explain(cmd: int | str, attr: Attr | None = None) -> Privilege:
    """Find out why the kernel answered EPERM."""
    effective = effective_capabilities()
    missing = [name for name in needed_capabilities(cmd, attr) if not has_capability(name, effective)]
    if missing:
        return _without(missing, "perf_event_paranoid" if cmd == "perf_event_open" else "unprivileged_bpf_disabled")
    if _in_user_namespace():
        return Privilege(
            "capabilities inside a user namespace do not count: use a BPF token or run outside of it",
            capability=", ".join(needed_capabilities(cmd, attr)),
        )
    mode = lockdown()
    if mode != "none":
        return Privilege(f"kernel lockdown is in mode {mode}, which may forbid this", lockdown=mode)
    return Privilege("this process has the capabilities, so a security module or seccomp filter may forbid it")


def _without(missing: list[str], setting: str) -> Privilege:
    value = _read(f"/proc/sys/kernel/{setting}").strip()
    sysctl = f"kernel.{setting}={value}" if value not in ("", "0") else None
    remedy = f"run as root or give the process {' and '.join(missing)}"
    return Privilege(remedy + (f" ({sysctl})" if sysctl else ""), capability=", ".join(missing), sysctl=sysctl)


def lockdown() -> str:
    """Return the mode of kernel lockdown: "none", "integrity" or "confidentiality"; "none" where it can't be read."""
    _, bracket, rest = _read("/sys/kernel/security/lockdown").partition("[")
    return rest.partition("]")[0] if bracket else "none"


def _in_user_namespace() -> bool:
    fields = _read("/proc/self/uid_map").split()
    return fields != ["0", "0", "4294967295"]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        # Not mounted or hidden: then there is nothing to say about it.
        return ""
