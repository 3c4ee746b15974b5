/* A context that goes everywhere: subprograms, the stack, a structure on the stack, a callback. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct visit {
	struct __sk_buff *skb;
	__u32 sum;
	__u32 turns;
};

static __noinline long add_byte(__u32 index, struct visit *visit)
{
	__u8 byte;

	if (bpf_skb_load_bytes(visit->skb, index, &byte, 1))
		return 1;
	visit->sum += byte + visit->skb->mark + (visit->skb->len & 0xff);
	visit->turns++;
	return 0;
}

static __noinline int first_bytes(struct __sk_buff *skb, int which)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + 14 > end)
		return 0;
	if (which & 1) /* clang would compute one address, which the verifier does not follow */
		return *(volatile __u8 *)(data + 1) + skb->ifindex + skb->protocol;
	return data[0] + skb->ifindex + (which ? skb->protocol : 0);
}

static __noinline int in_structure(struct visit *visit, int a, int b)
{
	volatile int filler[8];

	for (int i = 0; i < 8; i++)
		filler[i] = a * i;
	visit->skb->cb[2] = filler[b & 7];
	return first_bytes(visit->skb, a) + visit->skb->cb[2];
}

SEC("tc")
int pass_around(struct __sk_buff *skb)
{
	struct visit visit = { .skb = skb };
	struct __sk_buff *again = skb;
	int result;

	skb->mark = 7;
	barrier(); /* clang would make one store of 8 bytes of the two */
	skb->queue_mapping = 0x1234;
	barrier();
	skb->queue_mapping = result = 0x12345; /* ignored: it is no 16-bit number of a queue */
	bpf_loop(5, add_byte, &visit, 0);
	result = in_structure(&visit, skb->len, 3);
	if (skb->cb[0] > 3)
		result += first_bytes(skb, 0);
	if (skb->cb[4] > 3)
		result += first_bytes(skb, 1);
	if (skb->vlan_present)
		again = visit.skb;
	/* narrow loads */
	result += *((volatile __u8 *)&again->priority + 1) + *((volatile __u16 *)&again->mark + 1);
	return (result + visit.sum + visit.turns + again->priority + again->queue_mapping) & 0xffff;
}

char _license[] SEC("license") = "GPL";
