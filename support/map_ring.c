/* Ring buffers (kernel/bpf/ringbuf.c). Records are laid out as src/ebpf/vm/maps/ring.py says; `values` is the data area
   of twice `max_entries` bytes, `count` the producer's position and `head` the consumer's. */
#include "map_lock.h"

#define RECORD_BUSY (1u << 31)
#define RECORD_DISCARDED (1u << 30)
enum { RECORD_HEADER = 8, NO_WAKEUP = 1, FORCE_WAKEUP = 2, RING_PAGE = 4096, FIRST_DATA_PAGE = 3 };

static u64 record_length(u64 size) {
  return (size + RECORD_HEADER + 7) & ~7ull;
}

/* Make room for a record of `size` bytes, no more than the ring has; `where` gets its position. -EAGAIN without room. */
ENTRY s64 ebpf_ring_reserve(struct map *map, u64 size, u64 *where) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 position = map->count, length = record_length(size);
  u64 consumed = __atomic_load_n(&map->head, __ATOMIC_ACQUIRE);
  /* One byte stays free, as in the kernel: a record of exactly the whole size never fits. */
  s64 result = -E_AGAIN;
  if (position + length - consumed <= map->max_entries - 1) {
    u64 at = position & (map->max_entries - 1);
    u32 header[2] = {(u32)size | RECORD_BUSY, (u32)(at / RING_PAGE + FIRST_DATA_PAGE)};
    __builtin_memcpy(map->values + at, header, sizeof header);
    __atomic_store_n(&map->count, position + length, __ATOMIC_RELEASE);
    *where = position;
    result = 0;
  }
  free_lock(&map->lock);
  return result;
}

/* Hand over, or discard, the record at `position`; `length` is the first word of its header. Return whether a reader
   is to be woken. */
ENTRY s64 ebpf_ring_commit(struct map *map, u64 position, u64 length, u64 flags) {
  u64 at = position & (map->max_entries - 1);
  __atomic_exchange_n((u32 *)(map->values + at), (u32)length, __ATOMIC_SEQ_CST);
  u64 caught_up = (__atomic_load_n(&map->head, __ATOMIC_SEQ_CST) & (map->max_entries - 1)) == at;
  u64 due = flags & FORCE_WAKEUP || (caught_up && !(flags & NO_WAKEUP));
  if (due) __atomic_fetch_add(&map->wakeups, 1, __ATOMIC_RELEASE);
  return (s64)due;
}

/* Copy a whole record in; -EAGAIN without room. `due` becomes 1 where a reader is to be woken. */
static s64 write_record(struct map *map, const u8 *data, u64 size, u64 flags, u64 *due) {
  if (flags & ~(u64)(NO_WAKEUP | FORCE_WAKEUP)) return -E_INVAL;
  if (size > map->max_entries) return -E_AGAIN;
  u64 position;
  s64 result = ebpf_ring_reserve(map, size, &position);
  if (result) return result;
  copy(map->values + (position & (map->max_entries - 1)) + RECORD_HEADER, data, size);
  if (ebpf_ring_commit(map, position, size, flags)) *due = 1;
  return 0;
}
