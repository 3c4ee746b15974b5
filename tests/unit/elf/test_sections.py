"""Section names and what they make of a program (compare the kernel's libbpf/program_types.rst)."""

from __future__ import annotations

import pytest

from ebpf.abi.linux.sections import SECTION_RULES
from ebpf.abi.types import AttachType, ProgramFlag, ProgramType
from ebpf.elf.programs import classify_section

S, F = ProgramFlag.SLEEPABLE, ProgramFlag.XDP_HAS_FRAGS
NONE = ProgramFlag(0)


@pytest.mark.parametrize(
    ("section", "type_", "attach_type", "attach_to", "flags"),
    [
        ("socket", "SOCKET_FILTER", None, "", NONE),
        ("socket/4", "SOCKET_FILTER", None, "", NONE),
        ("socket1", "SOCKET_FILTER", None, "", NONE),
        ("kprobe", "KPROBE", None, "", NONE),
        ("kprobe/", "KPROBE", None, "", NONE),
        ("kprobe/do_exit", "KPROBE", None, "do_exit", NONE),
        ("uprobe//lib/libc.so.6:getppid", "KPROBE", None, "/lib/libc.so.6:getppid", NONE),
        ("uprobe.s/x", "KPROBE", None, "x", S),
        ("kprobe.multi/tcp_*", "KPROBE", "TRACE_KPROBE_MULTI", "tcp_*", NONE),
        ("kprobe.session/x", "KPROBE", "TRACE_KPROBE_SESSION", "x", NONE),
        ("uprobe.session.s/x", "KPROBE", "TRACE_UPROBE_SESSION", "x", S),
        ("usdt.s/a:b:c", "KPROBE", None, "a:b:c", S),
        ("tc", "SCHED_CLS", None, "", NONE),
        ("tc/ingress", "SCHED_CLS", "TCX_INGRESS", "", NONE),
        ("tcx/egress", "SCHED_CLS", "TCX_EGRESS", "", NONE),
        ("classifier/from-netdev", "SCHED_CLS", None, "", NONE),
        ("netkit/peer", "SCHED_CLS", "NETKIT_PEER", "", NONE),
        ("tracepoint/syscalls/sys_enter_openat", "TRACEPOINT", None, "syscalls/sys_enter_openat", NONE),
        ("tp/sched/sched_switch", "TRACEPOINT", None, "sched/sched_switch", NONE),
        ("raw_tp.w/x", "RAW_TRACEPOINT_WRITABLE", None, "x", NONE),
        ("tp_btf/sched_switch", "TRACING", "TRACE_RAW_TP", "sched_switch", NONE),
        ("fentry.s/x", "TRACING", "TRACE_FENTRY", "x", S),
        ("fmod_ret/x", "TRACING", "MODIFY_RETURN", "x", NONE),
        ("fsession/x", "TRACING", "TRACE_FSESSION", "x", NONE),
        ("freplace/handler", "EXT", None, "handler", NONE),
        ("lsm.s/bpf", "LSM", "LSM_MAC", "bpf", S),
        ("lsm_cgroup/socket_bind", "LSM", "LSM_CGROUP", "socket_bind", NONE),
        ("iter/task", "TRACING", "TRACE_ITER", "task", NONE),
        ("syscall", "SYSCALL", None, "", S),
        ("xdp", "XDP", "XDP", "", NONE),
        ("xdp_firewall", "XDP", "XDP", "", NONE),
        ("xdp.frags", "XDP", "XDP", "", F),
        ("xdp.frags/cpumap", "XDP", "XDP_CPUMAP", "", F),
        ("xdp/devmap", "XDP", "XDP_DEVMAP", "", NONE),
        ("sk_skb/stream_verdict", "SK_SKB", "SK_SKB_STREAM_VERDICT", "", NONE),
        ("cgroup_skb/ingress", "CGROUP_SKB", "CGROUP_INET_INGRESS", "", NONE),
        ("cgroup/skb", "CGROUP_SKB", None, "", NONE),
        ("cgroup/sock_release", "CGROUP_SOCK", "CGROUP_INET_SOCK_RELEASE", "", NONE),
        ("cgroup/sock", "CGROUP_SOCK", "CGROUP_INET_SOCK_CREATE", "", NONE),
        ("cgroup/connect_unix", "CGROUP_SOCK_ADDR", "CGROUP_UNIX_CONNECT", "", NONE),
        ("struct_ops/ignored", "STRUCT_OPS", None, "", NONE),
        ("struct_ops.s", "STRUCT_OPS", None, "", S),
        ("sk_lookup/", "SK_LOOKUP", "SK_LOOKUP", "", NONE),
        ("sk_reuseport/migrate", "SK_REUSEPORT", "SK_REUSEPORT_SELECT_OR_MIGRATE", "", NONE),
        ("netfilter", "NETFILTER", "NETFILTER", "", NONE),
        ("kprobes/x", "UNSPEC", None, "", NONE),
        ("mystery", "UNSPEC", None, "", NONE),
        ("", "UNSPEC", None, "", NONE),
    ],
)
@pytest.mark.parametrize("optional", ["", "?"])
def test_section_says_what_its_programs_are(section, type_, attach_type, attach_to, flags, optional):
    kind = classify_section(optional + section)

    assert kind.type is ProgramType[type_]
    assert kind.attach_type is (None if attach_type is None else AttachType[attach_type])
    assert (kind.attach_to, kind.flags) == (attach_to, flags)
    assert kind.autoload is (optional == "")


@pytest.mark.parametrize("rule", SECTION_RULES, ids=lambda rule: rule.pattern)
def test_no_rule_hides_a_later_one(rule):
    kind = classify_section(rule.pattern.removesuffix("+"))

    assert (kind.type, kind.attach_type, kind.flags) == (rule.type, rule.attach_type, rule.flags)


def test_every_loadable_program_type_has_a_section():
    linux = {member for member in ProgramType if not member.platform and member is not ProgramType.UNSPEC}

    assert linux == {rule.type for rule in SECTION_RULES}
