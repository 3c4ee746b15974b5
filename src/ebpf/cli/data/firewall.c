/* The demo: a small firewall and flow meter for XDP.
 *
 * Parses Ethernet, VLAN (802.1Q and 802.1ad), IPv4, IPv6, TCP and UDP; looks each packet up in `rules` (by
 * protocol and service port) and drops or marks it; counts the bytes of each flow in an LRU hash; tells user
 * space of new flows, drops and marks through a ring buffer.
 *
 * Rebuild with `make -C src/ebpf/cli/data`.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_VLANS 2
#define FRAGMENT_OFFSET 0x1fff

enum action { ACTION_PASS, ACTION_DROP, ACTION_MARK };
enum cause { CAUSE_NEW_FLOW, CAUSE_DROPPED, CAUSE_MARKED };

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

struct address {
	__u8 bytes[16]; /* IPv4 addresses are in the first four bytes */
};

struct rule_key {
	__u8 protocol; /* IPPROTO_* */
	__u8 unused;
	__u16 port; /* of the service, host byte order; 0: the whole protocol */
};

struct rule {
	enum action action;
	__u32 dscp; /* for ACTION_MARK */
	__u64 hits;
};

struct flow_key {
	struct address source;
	struct address destination;
	__u16 source_port;
	__u16 destination_port;
	__u16 vlan;
	__u8 version; /* 4 or 6 */
	__u8 protocol;
};

struct flow {
	__u64 packets;
	__u64 bytes;
	__u64 first; /* number of the packet that opened the flow */
};

struct event {
	__u64 number; /* of the packet, counted from 1 */
	enum cause cause;
	__u32 length;
	struct flow_key flow;
};

struct packet {
	void *data;
	void *end;
	void *network;
	__u32 length;
	struct flow_key flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256); /* one a protocol number */
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps") __attribute__((btf_decl_tag("record:event")));

const volatile bool report_new_flows = true;
__u64 packets = 0;
__u64 malformed = 0;
__u64 lost_events = 0;

static __always_inline int parse_ports(struct packet *p, void *transport)
{
	struct udphdr *ports = transport; /* TCP has its ports in the same place */

	if (p->flow.protocol != IPPROTO_TCP && p->flow.protocol != IPPROTO_UDP)
		return 0;
	if ((void *)(ports + 1) > p->end)
		return -1;
	p->flow.source_port = bpf_ntohs(ports->source);
	p->flow.destination_port = bpf_ntohs(ports->dest);
	return 0;
}

static __always_inline int parse_ipv4(struct packet *p)
{
	struct iphdr *ip = p->network;

	if ((void *)(ip + 1) > p->end || ip->ihl < 5)
		return -1;
	p->flow.version = 4;
	p->flow.protocol = ip->protocol;
	__builtin_memcpy(p->flow.source.bytes, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(p->flow.destination.bytes, &ip->daddr, sizeof(ip->daddr));
	if (bpf_ntohs(ip->frag_off) & FRAGMENT_OFFSET)
		return 0; /* a later fragment has no ports */
	return parse_ports(p, (void *)ip + ip->ihl * 4);
}

static __always_inline int parse_ipv6(struct packet *p)
{
	struct ipv6hdr *ip = p->network;

	if ((void *)(ip + 1) > p->end)
		return -1;
	p->flow.version = 6;
	p->flow.protocol = ip->nexthdr;
	__builtin_memcpy(p->flow.source.bytes, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(p->flow.destination.bytes, &ip->daddr, sizeof(ip->daddr));
	return parse_ports(p, ip + 1);
}

/* Returns 1 for IP, 0 for anything else that is well formed, -1 for a packet that ends too early. */
static __always_inline int parse(struct packet *p)
{
	struct ethhdr *ethernet = p->data;
	__be16 protocol;

	if ((void *)(ethernet + 1) > p->end)
		return -1;
	protocol = ethernet->h_proto;
	p->network = ethernet + 1;
	for (int i = 0; i < MAX_VLANS; i++) {
		struct vlan_header *vlan = p->network;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(vlan + 1) > p->end)
			return -1;
		p->flow.vlan = bpf_ntohs(vlan->tci) & 0xfff;
		protocol = vlan->protocol;
		p->network = vlan + 1;
	}
	if (protocol == bpf_htons(ETH_P_IP))
		return parse_ipv4(p) ? -1 : 1;
	if (protocol == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(p) ? -1 : 1;
	return 0;
}

static __noinline struct rule *find_rule(__u8 protocol, __u16 source_port, __u16 destination_port)
{
	struct rule_key key = {.protocol = protocol, .port = destination_port};
	struct rule *rule = bpf_map_lookup_elem(&rules, &key);

	if (rule)
		return rule;
	key.port = source_port;
	rule = bpf_map_lookup_elem(&rules, &key);
	if (rule)
		return rule;
	key.port = 0;
	return bpf_map_lookup_elem(&rules, &key);
}

/* Not inlined, so that clang describes `struct event` in BTF: user space decodes records by it. */
static __noinline void fill(struct event *event, const struct flow_key *flow, enum cause cause, __u32 length)
{
	event->number = packets;
	event->cause = cause;
	event->length = length;
	event->flow = *flow;
}

static __always_inline void report(struct packet *p, enum cause cause)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		lost_events++;
		return;
	}
	fill(event, &p->flow, cause, p->length);
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void count(struct packet *p)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &p->flow);
	__u32 protocol = p->flow.protocol;
	__u64 *total = bpf_map_lookup_elem(&protocols, &protocol);

	if (total)
		*total += p->length;
	if (flow) {
		flow->packets++;
		flow->bytes += p->length;
		return;
	}
	struct flow fresh = {.packets = 1, .bytes = p->length, .first = packets};
	bpf_map_update_elem(&flows, &p->flow, &fresh, BPF_NOEXIST);
	if (report_new_flows)
		report(p, CAUSE_NEW_FLOW);
}

/* Writes the DSCP and keeps the IPv4 checksum right (RFC 1624). */
static __always_inline void mark(struct packet *p, __u8 dscp)
{
	if (p->flow.version == 4) {
		struct iphdr *ip = p->network;
		__u32 sum;
		__u8 tos;

		if ((void *)(ip + 1) > p->end)
			return;
		tos = dscp << 2 | (ip->tos & 3);
		sum = (__u16)~bpf_ntohs(ip->check) + (__u16)~(__u16)ip->tos + tos;
		ip->tos = tos;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		ip->check = bpf_htons((__u16)~sum);
	} else {
		struct ipv6hdr *ip = p->network;

		if ((void *)(ip + 1) > p->end)
			return;
		ip->priority = dscp >> 2;
		ip->flow_lbl[0] = (dscp & 3) << 6 | (ip->flow_lbl[0] & 0x3f);
	}
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	struct packet p = {
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct rule *rule;

	packets++;
	p.length = p.end - p.data;
	switch (parse(&p)) {
	case -1:
		malformed++;
		return XDP_DROP;
	case 0:
		return XDP_PASS;
	}
	count(&p);
	rule = find_rule(p.flow.protocol, p.flow.source_port, p.flow.destination_port);
	if (!rule)
		return XDP_PASS;
	__sync_fetch_and_add(&rule->hits, 1);
	if (rule->action == ACTION_DROP) {
		report(&p, CAUSE_DROPPED);
		return XDP_DROP;
	}
	if (rule->action == ACTION_MARK) {
		mark(&p, rule->dscp);
		report(&p, CAUSE_MARKED);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
