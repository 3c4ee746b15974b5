/* Maps in native storage: the layout of a map, and look-ups, which are inlined into the interpreter and into compiled
   programs.

   The host allocates all memory, fills in `struct map` and keeps both alive; src/ebpf/vm/maps/storage.py has the same
   layout. Look-ups take no lock: what they may stand on is not used again while their run lasts (map_elements.h). */
#pragma once
#include "machine.h"

#define NONE (~0ull)

/* Values of `type` (enum bpf_map_type) of the maps that may be in native storage. */
enum map_type {
  MAP_HASH = 1,
  MAP_ARRAY = 2,
  MAP_PERCPU_HASH = 5,
  MAP_PERCPU_ARRAY = 6,
  MAP_LRU_HASH = 9,
  MAP_LRU_PERCPU_HASH = 10,
  MAP_LPM_TRIE = 11,
  MAP_ARRAY_OF_MAPS = 12,
  MAP_HASH_OF_MAPS = 13,
  MAP_DEVMAP = 14,
  MAP_CPUMAP = 16,
  MAP_XSKMAP = 17,
  MAP_QUEUE = 22,
  MAP_STACK = 23,
  MAP_RINGBUF = 27,
  MAP_BLOOM_FILTER = 30
};

/* An element of a hash table. `next` is the number of the next one in its bucket, 0 at the end. */
struct node {
  u32 next;
  u32 slot; /* where walks meet it */
  u8 key[];
};

/* An element that was taken out of its bucket. It may be used again when all runs have ended that began before. */
struct deferred {
  u64 epoch;
  u64 next;
};

/* Where a slot of an LRU map stands in the order of use. */
struct uses {
  u32 older;
  u32 newer;
  u32 part;
  u32 unused;
};

struct map {
  u64 type;
  u64 key_size;
  u64 value_size;
  u64 max_entries;
  u64 stride; /* bytes from one value to the next */
  u64 shift;  /* of the number of a value in its address */
  u8 *values;
  u64 cpus;        /* values of one element */
  u64 access;      /* what programs may do with values, as in struct values */
  u64 lock_offset; /* of the struct bpf_spin_lock in a value; NONE: there is none */
  u64 seed;
  u64 accounted; /* not 0: the host has to be asked for the memory of each element */
  u64 lock;
  u64 count; /* elements of a hash table, values of a queue; of a ring: the position behind the last record */
  u64 *epochs;
  /* Hash tables. Elements are numbered from 1. */
  u8 *nodes;
  u64 node_stride;
  u32 *buckets; /* of a trie: the number of its root */
  u64 bucket_mask;
  u64 capacity; /* elements that there is memory for */
  u64 fresh;    /* elements that have been used at some time */
  struct deferred *deferred; /* one for each element */
  u64 deferred_first;
  u64 deferred_last;
  u64 reusable; /* deferred elements with a lower epoch may be used again */
  u32 *slots;   /* slot → element, 0: free */
  u32 *free_slots;
  u64 free_count;
  u64 used_slots; /* slots that have been used at some time */
  u64 first_slot; /* no element has a lower one */
  /* LRU: slots in the order of their last use, in a ring for each part; behind the slots are the rings' heads. */
  struct uses *uses;
  u32 *part_counts;
  u64 parts; /* 0: not LRU */
  /* Queues: number of the value that is next. Rings: the position of the next record to be read. */
  u64 head;
  u64 wakeups; /* rings: how often a reader was to be woken */
  u64 credit;  /* elements that programs have deleted and whose memory the host has not taken back */
  u64 woken;   /* rings: how many of the wake-ups readers have had */
  u64 unused[3];
};

_Static_assert(sizeof(struct map) == 8 * 40, "map");

static inline u32 load32(const void *from) {
  u32 value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

static inline u64 load64(const void *from) {
  u64 value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

static inline u64 fold(u64 a, u64 b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (u64)product ^ (u64)(product >> 64);
}

static inline u64 hash_of(const u8 *key, u64 size, u64 seed) {
  const u64 odd = 0x9e3779b97f4a7c15;
  if (size == 4) return fold(load32(key) ^ seed, odd);
  if (size == 8) return fold(load64(key) ^ seed, odd);
  u64 hash = seed;
  for (; size >= 8; size -= 8, key += 8) hash = fold(hash ^ load64(key), odd);
  u64 rest = 0;
  for (u64 i = 0; i < size; i++) rest |= (u64)key[i] << 8 * i;
  return fold(hash ^ rest, odd);
}

static inline u64 same_key(const u8 *a, const u8 *b, u64 size) {
  if (size == 4) return load32(a) == load32(b);
  if (size == 8) return load64(a) == load64(b);
  for (; size >= 8; size -= 8, a += 8, b += 8)
    if (load64(a) != load64(b)) return 0;
  for (u64 i = 0; i < size; i++)
    if (a[i] != b[i]) return 0;
  return 1;
}

static inline struct node *node_of(const struct map *map, u64 element) {
  return (struct node *)(map->nodes + element * map->node_stride);
}

/* Number of the element in an array, NONE where there is none. `key` is in the host's memory. */
static inline u64 array_element(u64 max_entries, const u8 *key) {
  u64 index = load32(key);
  return index < max_entries ? index : NONE;
}

/* The same in a hash table. `key_size` is the map's; where it is a constant, so is the choice of the hash function. */
static inline u64 hash_element(const struct map *map, const u8 *key, u64 key_size) {
  u64 element = __atomic_load_n(map->buckets + (hash_of(key, key_size, map->seed) & map->bucket_mask), __ATOMIC_ACQUIRE);
  while (element) {
    const struct node *node = node_of(map, element);
    if (same_key(node->key, key, key_size)) return element;
    element = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE);
  }
  return NONE;
}

/* Number of the value of an element that belongs to a CPU; `cpus` is 1 for maps with one value for all of them. */
static inline u64 value_number(u64 element, u64 cpus, u64 cpu) {
  return cpus == 1 ? element : element * cpus + cpu;
}

static inline u8 *value_at(const struct map *map, u64 number) {
  return map->values + number * map->stride;
}
