/* The lock of a map, and copying. Whoever holds the lock is in native code and never waits for anything; so it is free
   again soon, unless the system has taken the processor away from the holder. */
#pragma once
#include "bytes.h"
#include "map.h"

enum { SPINS = 1 << 14 };

/* What functions on maps return beside their results and negative errno values. */
#define BUSY (1ll << 40)      /* the lock was not free: call again later */
#define UNPAID (BUSY + 1)     /* ask for the memory of one element, then call again */
#define EXHAUSTED (BUSY + 2)  /* all free elements wait for runs to end */

enum { E_NOENT = 2, E_2BIG = 7, E_AGAIN = 11, E_NOMEM = 12, E_EXIST = 17, E_INVAL = 22, E_NOSPC = 28 };
enum { F_NOEXIST = 1, F_EXIST = 2, F_LOCK = 4 };

static inline u64 take_lock(u64 *lock) {
  for (u64 i = 0; i < SPINS; i++) {
    if (!__atomic_load_n(lock, __ATOMIC_RELAXED) && !__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE)) return 1;
  }
  return 0;
}

static inline void free_lock(u64 *lock) {
  __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

static inline void clear(u8 *at, u64 size) {
  for (u64 i = 0; i < size; i++) at[i] = 0;
}

/* Copy a value over another one whose spin lock keeps its state. */
static inline void copy_around_lock(const struct map *map, u8 *to, const u8 *from) {
  u64 at = map->lock_offset;
  if (at == NONE) {
    copy(to, from, map->value_size);
    return;
  }
  copy(to, from, at);
  copy(to + at + 4, from + at + 4, map->value_size - at - 4);
}
