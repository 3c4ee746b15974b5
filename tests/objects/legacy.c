/* Maps as they were before BTF, one definition with iproute2's additional fields; no type information. */
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
};

struct bpf_elf_map {
	unsigned int type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_map_def SEC("maps") counters = { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 16, 0 };
struct bpf_map_def SEC("maps") table = { BPF_MAP_TYPE_HASH, 8, 4, 1000, BPF_F_NO_PREALLOC };
struct bpf_elf_map SEC("maps/tc") filters = { BPF_MAP_TYPE_LRU_HASH, 4, 4, 32, 0, 7, 2, 0, 0 };

static void *(*lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

static __attribute__((noinline)) int add(int *value)
{
	return value ? *value + 1 : 0;
}

SEC("classifier/first") int first(void *ctx)
{
	int key = 0;

	return add(lookup(&counters, &key)) + add(lookup(&filters, &key));
}

SEC("?kprobe/do_exit") int second(void *ctx)
{
	long key = 1;

	return add(lookup(&table, &key));
}

SEC("mystery") int third(void *ctx)
{
	return 3;
}

unsigned int _version SEC("version") = 0x50a00;
char _license[] SEC("license") = "Dual MIT/GPL";
