/* What only a running kernel can supply: settings, functions, variables, offsets of its structs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF __kconfig __weak;
extern unsigned long CONFIG_HZ __kconfig;
extern char CONFIG_CC_VERSION_TEXT[64] __kconfig;
extern enum libbpf_tristate CONFIG_DEBUG __kconfig __weak;

struct task_struct {
	int pid;
	struct task_struct *parent;
} __attribute__((preserve_access_index));

extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym __weak;
extern const void jiffies __ksym;
extern const int runqueues __ksym __weak;

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1], *acquired;
	__u64 found = 0;

	if (LINUX_KERNEL_VERSION > 0x60000 && CONFIG_BPF && CONFIG_DEBUG)
		found += CONFIG_HZ + CONFIG_CC_VERSION_TEXT[1];
	acquired = bpf_task_acquire(task);
	if (acquired && bpf_task_release)
		bpf_task_release(acquired);
	found += BPF_CORE_READ(task, parent, pid);
	found += bpf_core_type_exists(struct task_struct);
	return found + (long)&jiffies + (long)&runqueues;
}

struct tcp_congestion_ops {
	char name[16];
	unsigned int (*ssthresh)(void *sk);
	void (*init)(void *sk);
};

SEC("struct_ops")
unsigned int BPF_PROG(pick_threshold, void *sk)
{
	return 2;
}

SEC("struct_ops/ignored")
void BPF_PROG(start_up, void *sk)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.name = "plain",
	.ssthresh = (void *)pick_threshold,
};

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
	.init = (void *)start_up,
	.name = "linked",
};

char _license[] SEC("license") = "GPL";
