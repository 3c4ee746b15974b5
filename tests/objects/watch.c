/* What the command line is tested with on a live kernel: counts a process's system calls, and sends the first of each. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { MOST_CALLS = 512 };

struct event {
	__u32 process;
	__u32 number;
	char command[16];
};

const volatile __u32 process;
__u64 seen;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_CALLS);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("raw_tracepoint/sys_enter")
int watch(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 caller = bpf_get_current_pid_tgid() >> 32;
	__u32 number = ctx->args[1];
	__u64 once = 1, *count;
	struct event *event;

	if (process && caller != process)
		return 0;
	__sync_fetch_and_add(&seen, 1);
	count = bpf_map_lookup_elem(&calls, &number);
	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	bpf_map_update_elem(&calls, &number, &once, BPF_ANY);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->process = caller;
	event->number = number;
	bpf_get_current_comm(event->command, sizeof(event->command));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
