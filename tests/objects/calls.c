/* Subprograms: static, global, shared, in sections of their own; callbacks; data of every kind. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int counter;
int start = 7;
const volatile int limit = 10;
static int hidden_from_others = 3;
__hidden int hidden = 4;
__weak int weak_one = 5;
int table[4] SEC(".data.table") = { 1, 2, 3, 4 };
const char greeting[] = "hello";

static __noinline int leaf(int x)
{
	return x * 3 + hidden_from_others;
}

__noinline int middle(int x)
{
	counter += x;
	return leaf(x) + table[x & 3];
}

__noinline int other_global(int x)
{
	return x ? x + limit : hidden;
}

static __noinline SEC("library") int in_library(int x)
{
	return other_global(x) + weak_one;
}

/* The kernel refuses a callback that is not static, so `refused` is optional. */
int global_callback(__u32 index, void *ctx)
{
	return other_global(index) & 1;
}

static int plain_callback(__u32 index, void *ctx)
{
	return index & 1;
}

static int static_callback(__u32 index, void *ctx)
{
	start = index;
	return leaf(index) & 1;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	bpf_loop(3, plain_callback, 0, 0);
	bpf_loop(4, static_callback, 0, 0);
	hidden_from_others++;
	return in_library(1) ? middle(2) : XDP_PASS;
}

SEC("xdp.frags")
int second(struct xdp_md *ctx)
{
	bpf_printk("%s", greeting);
	return middle(1);
}

SEC("?xdp")
int refused(struct xdp_md *ctx)
{
	return bpf_loop(5, global_callback, 0, 0);
}

SEC("tc/ingress")
int alone(struct __sk_buff *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
