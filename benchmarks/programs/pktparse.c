/* A parser: Ethernet, VLAN, IPv4 or IPv6, TCP or UDP, and a hash of the flow. Short, all branches and bounds. */
#include "program.h"

enum {
	ETHERTYPE_IPV4 = 0x0008, /* as it is in memory: big-endian, read by a little-endian machine */
	ETHERTYPE_IPV6 = 0xdd86,
	ETHERTYPE_8021Q = 0x0081,
	ETHERTYPE_8021AD = 0xa888,
	FRAGMENT = 0xff3f,
	TCP = 6,
	UDP = 17,
	FIN_AND_SYN = 3,
};

enum { TRUNCATED = 1, BAD_HEADER, FRAGMENTED, EXPIRED, OTHER_TYPE, BAD_FLAGS, BAD_LENGTH, OTHER_PROTOCOL, PARSED };

#define GOLDEN 0x9e3779b97f4a7c15ULL

INLINE u16 load16(const u8 *at)
{
	return *(const u16 *)at;
}

INLINE u32 load32(const u8 *at)
{
	return *(const u32 *)at;
}

INLINE u64 finish(u64 hash)
{
	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 32;
	return (hash & 0x7ffffff0) | PARSED;
}

INLINE u64 transport(const u8 *at, const u8 *end, u8 protocol, u64 hash)
{
	if (protocol == TCP) {
		if (at + 20 > end)
			return TRUNCATED;
		if ((at[13] & FIN_AND_SYN) == FIN_AND_SYN)
			return BAD_FLAGS;
		if ((at[12] >> 4) * 4 < 20)
			return BAD_LENGTH;
		hash ^= load16(at) * 31 + load16(at + 2);
		return finish(hash ^ at[13]);
	}
	if (protocol == UDP) {
		if (at + 8 > end)
			return TRUNCATED;
		if (load16(at + 4) == 0)
			return BAD_LENGTH;
		return finish(hash ^ (load16(at) * 31 + load16(at + 2)));
	}
	return OTHER_PROTOCOL;
}

INLINE u64 ipv4(const u8 *ip, const u8 *end)
{
	u32 length;

	if (ip + 20 > end)
		return TRUNCATED;
	length = (ip[0] & 15) * 4;
	if (ip[0] >> 4 != 4 || length < 20)
		return BAD_HEADER;
	if (load16(ip + 6) & FRAGMENT)
		return FRAGMENTED;
	if (ip[8] == 0)
		return EXPIRED;
	return transport(ip + length, end, ip[9], load32(ip + 12) * GOLDEN ^ load32(ip + 16) * 0xc2b2ae3d27d4eb4fULL);
}

INLINE u64 ipv6(const u8 *ip, const u8 *end)
{
	u64 hash = 0;

	if (ip + 40 > end)
		return TRUNCATED;
	if (ip[0] >> 4 != 6)
		return BAD_HEADER;
	for (int i = 0; i < 8; i++)
		hash = (hash ^ load32(ip + 8 + 4 * i)) * GOLDEN;
	return transport(ip + 40, end, ip[6], hash);
}

INLINE u64 run(u8 *data, u8 *end)
{
	u8 *ip = data + 14;
	u16 type;

	if (ip > end)
		return TRUNCATED;
	type = load16(data + 12);
	if (type == ETHERTYPE_8021Q || type == ETHERTYPE_8021AD) {
		ip = data + 18;
		if (ip > end)
			return TRUNCATED;
		type = load16(data + 16);
	}
	if (type == ETHERTYPE_IPV4)
		return ipv4(ip, end);
	if (type == ETHERTYPE_IPV6)
		return ipv6(ip, end);
	return OTHER_TYPE;
}

ENTRY(pktparse)
