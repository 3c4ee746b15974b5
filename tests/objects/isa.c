// Every instruction that clang 19's assembler knows, for comparing our disassembler with llvm-objdump.
// It is never loaded: jumps and addresses make no sense.
#define A(...) asm volatile(__VA_ARGS__ ::: "memory")

#define BOTH(op)                                                                                                       \
	A("r1 " op " r2");                                                                                             \
	A("r3 " op " -7");                                                                                             \
	A("w4 " op " w5");                                                                                             \
	A("w6 " op " 9")

__attribute__((section("isa/arithmetic"))) int arithmetic(void *ctx)
{
	BOTH("=");
	BOTH("+=");
	BOTH("-=");
	BOTH("*=");
	BOTH("/=");
	BOTH("%%=");
	BOTH("|=");
	BOTH("&=");
	BOTH("^=");
	BOTH("<<=");
	BOTH(">>=");
	BOTH("s>>=");
	BOTH("s/=");
	BOTH("s%%=");
	A("r1 = -r1");
	A("w1 = -w1");
	A("r1 = (s8)r2");
	A("r1 = (s16)r2");
	A("r1 = (s32)r2");
	A("w1 = (s8)w2");
	A("w1 = (s16)w2");
	A("r1 = be16 r1");
	A("r1 = be32 r1");
	A("r1 = be64 r1");
	A("r1 = le16 r1");
	A("r1 = le32 r1");
	A("r1 = le64 r1");
	A("r1 = bswap16 r1");
	A("r1 = bswap32 r1");
	A("r1 = bswap64 r1");
	A("r1 = addr_space_cast(r2, 0x0, 0x1)");
	A("r3 = addr_space_cast(r4, 0x1, 0x0)");
	A("r1 = 0x123456789abcdef0 ll");
	A("r2 = -1 ll");
	A("r3 = 0x80000000");
	return 0;
}

__attribute__((section("isa/memory"))) int memory(void *ctx)
{
	A("r1 = *(u8 *)(r2 + 1)");
	A("r1 = *(u16 *)(r2 - 2)");
	A("r1 = *(u32 *)(r2 + 32767)");
	A("r1 = *(u64 *)(r2 - 32768)");
	A("r1 = *(s8 *)(r10 - 8)");
	A("r1 = *(s16 *)(r10 - 8)");
	A("r1 = *(s32 *)(r10 - 8)");
	A("*(u8 *)(r1 + 0) = r2");
	A("*(u16 *)(r1 + 2) = r2");
	A("*(u32 *)(r1 + 4) = r2");
	A("*(u64 *)(r1 + 8) = r2");
	A("*(u8 *)(r1 + 0) = 1");
	A("*(u16 *)(r1 + 2) = -2");
	A("*(u32 *)(r1 + 4) = 0x7fffffff");
	A("*(u64 *)(r1 + 8) = -1");
	A("r0 = *(u8 *)skb[5]");
	A("r0 = *(u16 *)skb[12]");
	A("r0 = *(u32 *)skb[26]");
	A("r0 = *(u8 *)skb[r1]");
	A("r0 = *(u16 *)skb[r2]");
	A("r0 = *(u32 *)skb[r3]");
	return 0;
}

__attribute__((section("isa/atomics"))) int atomics(void *ctx)
{
	A("lock *(u32 *)(r1 + 0) += w2");
	A("lock *(u64 *)(r1 + 8) += r2");
	A("lock *(u32 *)(r1 + 0) |= w2");
	A("lock *(u64 *)(r1 + 8) |= r2");
	A("lock *(u32 *)(r1 + 0) &= w2");
	A("lock *(u64 *)(r1 + 8) &= r2");
	A("lock *(u32 *)(r1 + 0) ^= w2");
	A("lock *(u64 *)(r1 + 8) ^= r2");
	A("w2 = atomic_fetch_add((u32 *)(r1 + 0), w2)");
	A("r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)");
	A("w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)");
	A("r2 = atomic_fetch_or((u64 *)(r1 + 8), r2)");
	A("w2 = atomic_fetch_and((u32 *)(r1 + 0), w2)");
	A("r2 = atomic_fetch_and((u64 *)(r1 + 8), r2)");
	A("w2 = atomic_fetch_xor((u32 *)(r1 + 0), w2)");
	A("r2 = atomic_fetch_xor((u64 *)(r1 + 8), r2)");
	A("w2 = xchg32_32(r1 + 0, w2)");
	A("r2 = xchg_64(r1 - 8, r2)");
	A("w0 = cmpxchg32_32(r1 + 0, w0, w2)");
	A("r0 = cmpxchg_64(r1 - 8, r0, r2)");
	return 0;
}

#define COMPARE(op)                                                                                                    \
	A("if r1 " op " r2 goto +1");                                                                                  \
	A("if r3 " op " -7 goto -2");                                                                                  \
	A("if w4 " op " w5 goto +3");                                                                                  \
	A("if w6 " op " 9 goto -4")

__attribute__((section("isa/jumps"))) int jumps(void *ctx)
{
	A("r0 = 0");
	A("r0 = 0");
	A("r0 = 0");
	COMPARE("==");
	COMPARE("!=");
	COMPARE(">");
	COMPARE(">=");
	COMPARE("<");
	COMPARE("<=");
	COMPARE("s>");
	COMPARE("s>=");
	COMPARE("s<");
	COMPARE("s<=");
	A("if r1 & r2 goto +1");
	A("if r3 & 8 goto -2");
	A("if w4 & w5 goto +3");
	A("if w6 & 9 goto -4");
	A("goto +2");
	A("gotol +1");
	A("gotol -1");
	A("may_goto +1");
	A("call 1");
	A("call 211");
	A("callx r3");
	return 0;
}
