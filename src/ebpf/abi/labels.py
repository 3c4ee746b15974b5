"""CamelCase names where they are not what plain capitalising gives (spelled as ebpf-go spells them)."""

from __future__ import annotations

_MAP = {
    "UNSPEC": "Unspecified", "PROG_ARRAY": "ProgramArray", "PERCPU_HASH": "PerCPUHash",
    "PERCPU_ARRAY": "PerCPUArray", "CGROUP_ARRAY": "CGroupArray", "LRU_HASH": "LRUHash",
    "LRU_PERCPU_HASH": "LRUCPUHash", "LPM_TRIE": "LPMTrie",
    "DEVMAP": "DevMap", "SOCKMAP": "SockMap", "CPUMAP": "CPUMap", "XSKMAP": "XSKMap", "SOCKHASH": "SockHash",
    "CGROUP_STORAGE": "CGroupStorage", "REUSEPORT_SOCKARRAY": "ReusePortSockArray",
    "PERCPU_CGROUP_STORAGE": "PerCPUCGroupStorage", "DEVMAP_HASH": "DevMapHash", "STRUCT_OPS": "StructOpsMap",
    "RINGBUF": "RingBuf", "USER_RINGBUF": "UserRingbuf", "CGRP_STORAGE": "CgroupStorage",
}  # fmt: skip
_PROGRAM = {
    "UNSPEC": "Unspecified", "SCHED_CLS": "SchedCLS", "SCHED_ACT": "SchedACT", "TRACEPOINT": "TracePoint",
    "XDP": "XDP", "CGROUP_SKB": "CGroupSKB", "CGROUP_SOCK": "CGroupSock", "LWT_IN": "LWTIn", "LWT_OUT": "LWTOut",
    "LWT_XMIT": "LWTXmit", "SK_SKB": "SkSKB", "CGROUP_DEVICE": "CGroupDevice", "CGROUP_SOCK_ADDR": "CGroupSockAddr",
    "LWT_SEG6LOCAL": "LWTSeg6Local", "CGROUP_SYSCTL": "CGroupSysctl", "CGROUP_SOCKOPT": "CGroupSockopt",
    "EXT": "Extension", "LSM": "LSM",
}  # fmt: skip
_ATTACH = {
    "CGROUP_INET_INGRESS": "CGroupInetIngress", "CGROUP_INET_EGRESS": "CGroupInetEgress",
    "CGROUP_INET_SOCK_CREATE": "CGroupInetSockCreate", "CGROUP_SOCK_OPS": "CGroupSockOps",
    "SK_SKB_STREAM_PARSER": "SkSKBStreamParser", "SK_SKB_STREAM_VERDICT": "SkSKBStreamVerdict",
    "CGROUP_DEVICE": "CGroupDevice", "CGROUP_INET4_BIND": "CGroupInet4Bind", "CGROUP_INET6_BIND": "CGroupInet6Bind",
    "CGROUP_INET4_CONNECT": "CGroupInet4Connect", "CGROUP_INET6_CONNECT": "CGroupInet6Connect",
    "CGROUP_INET4_POST_BIND": "CGroupInet4PostBind", "CGROUP_INET6_POST_BIND": "CGroupInet6PostBind",
    "CGROUP_UDP4_SENDMSG": "CGroupUDP4Sendmsg", "CGROUP_UDP6_SENDMSG": "CGroupUDP6Sendmsg",
    "CGROUP_SYSCTL": "CGroupSysctl", "CGROUP_UDP4_RECVMSG": "CGroupUDP4Recvmsg",
    "CGROUP_UDP6_RECVMSG": "CGroupUDP6Recvmsg", "CGROUP_GETSOCKOPT": "CGroupGetsockopt",
    "CGROUP_SETSOCKOPT": "CGroupSetsockopt", "TRACE_RAW_TP": "TraceRawTp", "TRACE_FENTRY": "TraceFEntry",
    "TRACE_FEXIT": "TraceFExit", "LSM_MAC": "LSMMac", "CGROUP_INET4_GETPEERNAME": "CgroupInet4GetPeername",
    "CGROUP_INET6_GETPEERNAME": "CgroupInet6GetPeername", "CGROUP_INET4_GETSOCKNAME": "CgroupInet4GetSockname",
    "CGROUP_INET6_GETSOCKNAME": "CgroupInet6GetSockname", "XDP_DEVMAP": "XDPDevMap",
    "CGROUP_INET_SOCK_RELEASE": "CgroupInetSockRelease", "XDP_CPUMAP": "XDPCPUMap", "XDP": "XDP",
    "SK_SKB_VERDICT": "SkSKBVerdict", "LSM_CGROUP": "LSMCgroup", "TCX_INGRESS": "TCXIngress",
    "TCX_EGRESS": "TCXEgress", "TRACE_FSESSION": "TraceFSession",
}  # fmt: skip

_LINK = {"NETNS": "NetNs", "TCX": "TCX", "XDP": "XDP"}

LABELS: dict[tuple[str, str], str] = {
    (kind, name): label
    for kind, table in (("MapType", _MAP), ("ProgramType", _PROGRAM), ("AttachType", _ATTACH), ("LinkType", _LINK))
    for name, label in table.items()
}
"""(enumeration, member name) → label."""
