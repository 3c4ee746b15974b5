"""Packets: every edge, and pointers from before the packet moved."""

from __future__ import annotations

from ebpf.abi.linux import EACCES, EINVAL
from ebpf.abi.types import ProgramType
from tests.malicious.case import Case, faults, refused, returns
from tests.malicious.pointers import EXIT, PACKET
from tests.malicious.stack import WIDTHS

TC, FILTER, CGROUP = ProgramType.SCHED_CLS, ProgramType.SOCKET_FILTER, ProgramType.CGROUP_SKB
KEEP = f"r9 = r1; {PACKET}"
SKB = "r7 = *(u32 *)(r1 + 76); r8 = *(u32 *)(r1 + 80)"
KEEP_SKB = f"r9 = r1; {SKB}"
AGAIN = "r1 = r9; r7 = *(u32 *)(r1 + 0); r8 = *(u32 *)(r1 + 4)"


def _move(helper: str, by: int) -> str:
    return f"r1 = r9; r2 = {by}; call bpf_xdp_adjust_{helper}"


EDGES = {
    name: f"{PACKET}; {text}"
    for size, width in WIDTHS.items()
    for name, text in {
        f"load of {size} at data_end": f"bad: r0 = *({size} *)(r8 + 0); exit",
        f"store of {size} at data_end": f"bad: *({size} *)(r8 + 0) = 1; {EXIT}",
        f"load of {size} across data_end": f"bad: r0 = *({size} *)(r8 - {width - 1}); exit",
        f"store of {size} across data_end": f"bad: *({size} *)(r8 - {width - 1}) = r7; {EXIT}",
        f"load of {size} before data": f"bad: r0 = *({size} *)(r7 - 1); exit",
        f"store of {size} before data": f"bad: *({size} *)(r7 - {width}) = 1; {EXIT}",
    }.items()
}
del EDGES["load of u8 across data_end"], EDGES["store of u8 across data_end"]  # these are at data_end
VARIABLE = {
    "length that the packet claims": f"{PACKET}; r2 = *(u8 *)(r7 + 63); r7 += r2; bad: r0 = *(u16 *)(r7 + 0); exit",
    "length that the packet claims, big": f"""
        {PACKET}; r2 = *(u32 *)(r7 + 60); r7 += r2; bad: r0 = *(u8 *)(r7 + 0); exit""",
    "check of fewer bytes than are read": f"""
        {PACKET}; r2 = r7; r2 += 64; if r2 > r8 goto out; bad: r0 = *(u64 *)(r7 + 60); exit; out: {EXIT}""",
    "check that wraps around": f"""
        {PACKET}; r2 = r7; r2 += -1; if r2 > r8 goto out; bad: r0 = *(u8 *)(r2 + 0); exit; out: {EXIT}""",
    "check of another pointer": f"""
        {PACKET}; r2 = r7; r2 += 8; if r2 > r8 goto out; r7 += 64; bad: r0 = *(u64 *)(r7 + 0); exit; out: {EXIT}""",
    "check the wrong way round": f"""
        {PACKET}; r2 = r7; r2 += 65; if r2 > r8 goto on; {EXIT}; on: bad: r0 = *(u8 *)(r2 - 1); exit""",
    "check against an end that was moved up": f"""
        {PACKET}; r8 += 64; r2 = r7; r2 += 72; if r2 > r8 goto out; bad: r0 = *(u64 *)(r7 + 64); exit; out: {EXIT}""",
    "check against the pointer itself": f"""
        {PACKET}; r2 = r7; r2 += 72; r3 = r2; if r2 > r3 goto out; bad: r0 = *(u64 *)(r7 + 64); exit; out: {EXIT}""",
    "check against a number": f"""
        {PACKET}; r2 = r7; r2 += 72; r3 = -1; if r2 > r3 goto out; bad: r0 = *(u64 *)(r7 + 64); exit; out: {EXIT}""",
    "check against the end of the metadata": f"""
        r9 = r1; {PACKET}; r3 = *(u32 *)(r9 + 8); r3 += 128; r2 = r7; r2 += 72; if r2 > r3 goto out
        bad: r0 = *(u64 *)(r7 + 64); exit; out: {EXIT}""",
    "check of 32 bits": f"""
        {PACKET}; r2 = r7; r2 += 4096; w3 = 0; w3 -= 1; if w2 > w3 goto out; bad: r0 = *(u64 *)(r2 + 0)
        exit; out: {EXIT}""",
    "check that is jumped over": f"""
        {PACKET}; r3 = *(u8 *)(r7 + 1); r2 = r7; r2 += 72; if r3 == 1 goto on; if r2 > r8 goto out
        on: bad: r0 = *(u64 *)(r7 + 64); exit; out: {EXIT}""",
    "check, then the packet is cut": f"""
        r9 = r1; {PACKET}; r2 = r7; r2 += 64; if r2 > r8 goto out; r1 = r9; r2 = -32; call bpf_xdp_adjust_tail
        r7 = *(u32 *)(r9 + 0); bad: r0 = *(u64 *)(r7 + 56); exit; out: {EXIT}""",
    "signed check": f"""
        {PACKET}; r2 = -1; r3 = 64; if r2 s> r3 goto out; r7 += r2; bad: r0 = *(u8 *)(r7 + 0); exit; out: {EXIT}""",
    "loop that ends one too late": f"{PACKET}; bad: r0 = *(u8 *)(r7 + 0); r7 += 1; if r7 <= r8 goto bad; {EXIT}",
    "last byte and one more, through the stack": f"""
        {PACKET}; *(u64 *)(r10 - 8) = r8; r2 = *(u64 *)(r10 - 8); r0 = *(u8 *)(r2 - 1)
        bad: r0 = *(u8 *)(r2 + 0); exit""",
    "length of 32 bits turned signed": f"""
        {PACKET}; r2 = *(s32 *)(r7 + 60); r2 = -r2; r7 += r2; bad: r0 = *(u8 *)(r7 + 0); exit""",
}
MOVED = {
    **{
        f"{what} from before adjust_{helper} by {by}": f"{KEEP}; {_move(helper, by)}; bad: {use}; {EXIT}"
        for helper, by in (("head", 14), ("head", -16), ("head", 0), ("tail", -10), ("tail", 10), ("meta", -4))
        for what, use in {"load": "r0 = *(u8 *)(r7 + 0)", "store": "*(u8 *)(r8 - 1) = 1"}.items()
    },
    "pointer from before adjust_head that failed": f"{KEEP}; {_move('head', 4096)}; bad: r0 = *(u8 *)(r7 + 0); exit",
    "pointer from before adjust_tail that failed": f"{KEEP}; {_move('tail', -4096)}; bad: r0 = *(u8 *)(r7 + 0); exit",
    "pointer spilled before adjust_head": f"""
        {KEEP}; *(u64 *)(r10 - 8) = r7; {_move("head", 14)}; r7 = *(u64 *)(r10 - 8); bad: r0 = *(u8 *)(r7 + 0); exit""",
    "pointer in a map before adjust_head": f"""
        {KEEP}; r6 = map[out][0] ll; *(u64 *)(r6 + 0) = r7; {_move("head", 14)}
        r7 = *(u64 *)(r6 + 0); *(u64 *)(r6 + 0) = 0; bad: r0 = *(u8 *)(r7 + 0); exit""",
    "callee moves the packet of its caller": f"""
        {KEEP}; call f; bad: r0 = *(u8 *)(r7 + 0); exit; f: r2 = 14; call bpf_xdp_adjust_head; {EXIT}""",
    "callback moves the packet": f"""
        {KEEP}; r1 = 1; r2 = func[f] ll; r3 = r9; r4 = 0; call bpf_loop; bad: r0 = *(u8 *)(r7 + 0); exit
        f: r1 = r2; r2 = 14; call bpf_xdp_adjust_head; {EXIT}""",
    "data_end from before adjust_tail": f"{KEEP}; {_move('tail', 20)}; bad: *(u8 *)(r8 + 0) = 1; {EXIT}",
    "pointer from before a tail call's adjust_head": f"""
        {KEEP}; {_move("head", 14)}; {_move("head", -14)}; bad: r0 = *(u8 *)(r7 + 0); exit""",
    "bytes cut off by adjust_tail": f"{KEEP}; {_move('tail', -10)}; {AGAIN}; bad: r0 = *(u8 *)(r7 + 54); exit",
    "bytes cut off by adjust_head": f"{KEEP}; {_move('head', 14)}; {AGAIN}; bad: r0 = *(u8 *)(r7 - 1); exit",
    "metadata that there is none of": "r7 = *(u32 *)(r1 + 8); bad: r0 = *(u8 *)(r7 - 1); exit",
    "before the metadata": f"{KEEP}; {_move('meta', -8)}; r7 = *(u32 *)(r9 + 8); bad: r0 = *(u8 *)(r7 - 1); exit",
    "old packet pointer as memory for a helper": f"""
        {KEEP}; {_move("head", 14)}; r1 = map[hash] ll; r2 = r7; bad: call bpf_map_lookup_elem; exit""",
    "key across data_end": f"{KEEP}; r1 = map[hash] ll; r2 = r8; r2 += -3; bad: call bpf_map_lookup_elem; exit",
    "record from the packet, too long": f"""
        {KEEP}; r1 = map[ring] ll; r2 = r7; r3 = 65; r4 = 0; bad: call bpf_ringbuf_output; exit""",
    "bytes loaded into what follows the packet": f"""
        {KEEP}; r1 = r9; r2 = 0; r3 = r8; r4 = 4; bad: call bpf_xdp_load_bytes; exit""",
}
MOVED_SKB = {
    f"pointer from before {helper}": f"{KEEP_SKB}; {setup}; call bpf_{helper}; bad: r0 = *(u8 *)(r7 + 0); exit"
    for helper, setup in {
        "skb_pull_data": "r2 = 20",
        "skb_change_tail": "r2 = 40; r3 = 0",
        "skb_change_head": "r2 = 4; r3 = 0",
        "skb_vlan_push": "r2 = 0x81; r3 = 1",
        "skb_vlan_pop": "r2 = 0",
        "skb_store_bytes": "r2 = 0; r3 = r10; r3 += -8; r4 = 8; r5 = 0",
        "skb_adjust_room": "r2 = 4; r3 = 0; r4 = 0",
        "clone_redirect": "r2 = 1; r3 = 0",
    }.items()
}
EDGES_SKB = {
    "load behind a socket buffer's packet": f"{SKB}; bad: r0 = *(u8 *)(r8 + 0); exit",
    "load before a socket buffer's packet": f"{SKB}; bad: r0 = *(u64 *)(r7 - 8); exit",
    "store across the end of a socket buffer's packet": f"{SKB}; bad: *(u32 *)(r8 - 3) = 1; {EXIT}",
    "metadata of a socket buffer": "r7 = *(u32 *)(r1 + 140); bad: r0 = *(u8 *)(r7 - 4); exit",
}
LEGACY = {
    "byte behind the packet": (0, "r6 = r1; r0 = *(u8 *)skb[64]; r0 = 7; exit"),
    "word across the end": (0, "r6 = r1; r0 = *(u32 *)skb[61]; r0 = 7; exit"),
    "far behind the packet": (0, "r6 = r1; r0 = *(u16 *)skb[0x7fffffff]; r0 = 7; exit"),
    "index behind the packet": (0, "r6 = r1; r2 = 60; r0 = *(u32 *)skb[r2 + 4]; r0 = 7; exit"),
    "negative index": (0, "r6 = r1; r2 = -1; r0 = *(u32 *)skb[r2 + 0]; r0 = 7; exit"),
    "index that is a pointer": (0, "r6 = r1; r2 = r10; r2 <<= 31; r0 = *(u8 *)skb[r2 + 100]; r0 = 7; exit"),
    "in a function, ends the function": (3, """
        r6 = r1; r9 = r1; call f; r0 += 3; exit; f: r6 = r1; r0 = *(u8 *)skb[99]; r0 = 7; exit"""),
    "behind the end of the ancillary area": (0, "r6 = r1; r0 = *(u32 *)skb[-1]; r0 = 7; exit"),
}  # fmt: skip
FINE = {
    **{f"last {size}": (0, f"{PACKET}; *({size} *)(r8 - {width}) = 1; r0 = *({size} *)(r8 - {width}); r0 -= 1; exit")
       for size, width in WIDTHS.items()},
    "first and last byte": (63, f"{PACKET}; r0 = *(u8 *)(r7 + 0); r1 = *(u8 *)(r8 - 1); r0 += r1; exit"),
    "unaligned in the middle": (0x0A090807, f"{PACKET}; r0 = *(u32 *)(r7 + 7); exit"),
    "distance of the pointers": (64, f"{PACKET}; r8 -= r7; r0 = r8; exit"),
    "every byte in turn": (2016, f"""
        {PACKET}; r0 = 0; again: if r7 >= r8 goto out; r1 = *(u8 *)(r7 + 0); r0 += r1; r7 += 1; goto again
        out: exit"""),
    "headroom taken and written": (0, f"""
        {KEEP}; {_move('head', -16)}; {AGAIN}; *(u64 *)(r7 + 0) = -1; *(u64 *)(r7 + 8) = -1; {EXIT}"""),
    "tail taken and written": (0, f"""
        {KEEP}; {_move('tail', 8)}; {AGAIN}; r0 = *(u64 *)(r8 - 8); *(u64 *)(r8 - 8) = -1; exit"""),
    "metadata taken and written": (0, f"""
        {KEEP}; {_move('meta', -8)}; r7 = *(u32 *)(r9 + 8); *(u64 *)(r7 + 0) = 0x11; {EXIT}"""),
    "more head than there is": (0xFFFFFFEA, f"{KEEP}; {_move('head', -217)}; exit"),
    "more cut off than there is": (0xFFFFFFEA, f"{KEEP}; {_move('tail', -51)}; exit"),
    "moved by the largest number": (0xFFFFFFEA, f"{KEEP}; {_move('head', 0x7FFFFFFF)}; exit"),
    "moved by the smallest number": (0xFFFFFFEA, f"{KEEP}; {_move('tail', -0x80000000)}; exit"),
    "bytes from behind the packet": (0xFFFFFFEA, f"""
        {KEEP}; r2 = 60; r3 = r10; r3 += -8; r4 = 8; call bpf_xdp_load_bytes; exit"""),
    "bytes from far behind the packet": (0xFFFFFFF2, f"""
        {KEEP}; r2 = -1; r3 = r10; r3 += -8; r4 = 8; call bpf_xdp_load_bytes; exit"""),
    "bytes to behind the packet": (0xFFFFFFEA, f"""
        {KEEP}; r2 = 57; r3 = r10; r3 += -8; r4 = 8; call bpf_xdp_store_bytes; exit"""),
    "packet stored into itself": (0, f"{KEEP}; r2 = 8; r3 = r7; r4 = 56; call bpf_xdp_store_bytes; exit"),
    "packet loaded into itself": (0, f"{KEEP}; r2 = 0; r3 = r7; r3 += 8; r4 = 56; call bpf_xdp_load_bytes; exit"),
    "packet as key and value": (0, f"""
        {KEEP}; r1 = map[hash] ll; r2 = r7; r3 = r7; r4 = 0; call bpf_map_update_elem; exit"""),
}  # fmt: skip
READ_ONLY = {"store into a packet that may only be read": f"{SKB}; bad: *(u8 *)(r7 + 0) = 1; {EXIT}"}
ODD_FIELDS = {
    "data_end of 64 bits": f"r0 = *(u64 *)(r1 + 4); {EXIT}",
    "data of 16 bits": f"r0 = *(u16 *)(r1 + 0); {EXIT}",
    "data written": f"*(u32 *)(r1 + 0) = 0; {EXIT}",
}

CASES: list[Case] = [
    *faults("memory", EDGES | VARIABLE | MOVED),
    *faults("memory", MOVED_SKB | EDGES_SKB, type=TC),
    *faults("memory", READ_ONLY, type=CGROUP),
    *returns(FINE),
    *returns(LEGACY, type=TC),
    *refused(EINVAL, {"legacy load in an XDP program": "r6 = r1; r0 = *(u8 *)skb[0]; exit"}),
    *refused(EACCES, {"packet pointer of a socket filter": f"{SKB}; {EXIT}"}, type=FILTER),
    *refused(EACCES, ODD_FIELDS),
]
