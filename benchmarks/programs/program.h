/* What every program shares: types, the packet, and the entry point of the target that it is compiled for.
 *
 *   -DXDP    an XDP program: data and data_end through struct xdp_md, whose members have 32 bits
 *            (include/uapi/linux/bpf.h); for the Linux kernel and the embedded one
 *   -DUSER   eBPF for engines that know no context of the kernel's: the same two loads, of 64-bit pointers
 *   neither  a function of a shared library, which takes the context of -DUSER: the limit
 *
 * A program is one function, `u64 run(u8 *data, u8 *end)`, and ENTRY with its name. Every result fits into 31 bits,
 * so that no target's return type changes it.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* A subprogram: a call in bytecode, and a call in native code. */
#define SUBPROGRAM static __attribute__((noinline))

/* eBPF has no vectors. A value that passes through SCALAR can't be computed several at a time, so that the native code
 * does the same steps; in bytecode it costs nothing. A LOOP stays a loop: an unrolled one measures straight-line code.
 * With -DFREE native code is bound by neither, as a JIT is not. */
#if defined(FREE)
#define SCALAR(value)
#define LOOP
#else
#define SCALAR(value) __asm__ volatile("" : "+r"(value))
#define LOOP _Pragma("clang loop unroll(disable) vectorize(disable)")
#endif

#define MASK31 0x7fffffff

/* Of the maps; all keys from 0 on are there. */
#define ELEMENTS 1024

#if defined(XDP)

struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

#define ENTRY(name) \
	SECTION("xdp") int program(struct xdp_md *ctx) \
	{ \
		return run((u8 *)(long)ctx->data, (u8 *)(long)ctx->data_end); \
	} \
	SECTION("license") char _license[] = "GPL";

#else

struct context {
	u8 *data, *end;
};

#if defined(USER)
#define ENTRY(name) \
	SECTION("xdp") u64 program(struct context *ctx) \
	{ \
		return run(ctx->data, ctx->end); \
	} \
	SECTION("license") char _license[] = "GPL";
#else
#define ENTRY(name) \
	u64 native_##name(struct context *ctx) \
	{ \
		return run(ctx->data, ctx->end); \
	}
#endif

#endif
