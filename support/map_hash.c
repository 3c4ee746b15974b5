/* Hash tables: updates, deletions, walks (kernel/bpf/hashtab.c). Results are those of src/ebpf/vm/maps/hash.py, lru.py
   and percpu.py, which say more. Every function returns BUSY where the lock is not free. */
#include "map_elements.h"

#define ALL_CPUS NONE

static __attribute__((noinline)) u64 find(const struct map *map, const u8 *key) {
  return hash_element(map, key, map->key_size);
}

static u64 is_per_cpu(const struct map *map) {
  return map->type == MAP_PERCPU_HASH || map->type == MAP_LRU_PERCPU_HASH;
}

/* Bytes of a value in the form of the system call. */
static u64 system_size(const struct map *map) { return is_per_cpu(map) ? map->stride * map->cpus : map->value_size; }

/* The link that leads to an element. */
static u32 *link_to(struct map *map, u64 element) {
  u32 *link = map->buckets + (hash_of(node_of(map, element)->key, map->key_size, map->seed) & map->bucket_mask);
  while (*link != element) link = &node_of(map, *link)->next;
  return link;
}

/* Drop an element and free its slot. */
static void remove(struct map *map, u64 element) {
  struct node *node = node_of(map, element);
  __atomic_store_n(link_to(map, element), node->next, __ATOMIC_RELEASE);
  if (map->parts) forget_use(map, node->slot);
  free_slot(map, node->slot);
  map->count--;
  defer(map, element);
}

/* Write the value of one CPU, or those of all, which then lie at multiples of the stride. */
static void write_values(struct map *map, u64 element, const u8 *value, u64 cpu) {
  if (cpu != ALL_CPUS || !is_per_cpu(map)) {
    copy(value_at(map, value_number(element, map->cpus, cpu)), value, map->value_size);
    return;
  }
  for (u64 i = 0; i < map->cpus; i++)
    copy(value_at(map, value_number(element, map->cpus, i)), value + i * map->stride, map->value_size);
}

/* Fill an element that nobody can see. A spin lock in its value starts free. */
static void fill(struct map *map, u64 element, const u8 *key, const u8 *value, u64 cpu) {
  copy(node_of(map, element)->key, key, map->key_size);
  if (is_per_cpu(map)) clear(value_at(map, element * map->cpus), map->stride * map->cpus);
  write_values(map, element, value, cpu);
  if (map->lock_offset != NONE) clear(value_at(map, element) + map->lock_offset, 4);
}

static void replace(struct map *map, u64 old, const u8 *key, const u8 *value, u64 cpu, u64 in_place) {
  u64 element = in_place ? 0 : new_element(map);
  if (!element) {
    /* Without memory that is free the value is written over, as the kernel does with its preallocated elements. */
    if (is_per_cpu(map))
      write_values(map, old, value, cpu);
    else
      copy_around_lock(map, value_at(map, old), value);
    return;
  }
  fill(map, element, key, value, cpu);
  struct node *node = node_of(map, element), *before = node_of(map, old);
  node->next = before->next;
  node->slot = before->slot;
  map->slots[node->slot] = (u32)element;
  __atomic_store_n(link_to(map, old), (u32)element, __ATOMIC_RELEASE);
  defer(map, old);
}

static s64 insert(struct map *map, const u8 *key, const u8 *value, u64 cpu, u64 paid) {
  u64 part = map->parts && cpu != ALL_CPUS ? cpu % map->parts : 0;
  u64 full = map->parts ? map->part_counts[part] >= map->max_entries / map->parts : map->count >= map->max_entries;
  if (full && !map->parts) return -E_2BIG;
  if (full && !map->part_counts[part]) return -E_NOMEM; /* fewer elements than CPUs: this one has none to give */
  u64 on_credit = map->accounted && !paid;
  if (on_credit && !map->credit) return UNPAID;
  u64 element = new_element(map);
  if (!element) return EXHAUSTED;
  if (on_credit) map->credit--;
  if (full) remove(map, map->slots[map->uses[head_of_part(map, part)].newer]);
  fill(map, element, key, value, cpu);
  struct node *node = node_of(map, element);
  node->slot = (u32)take_slot(map, element);
  if (map->parts) note_use(map, node->slot, part);
  u32 *bucket = map->buckets + (hash_of(key, map->key_size, map->seed) & map->bucket_mask);
  node->next = *bucket;
  __atomic_store_n(bucket, (u32)element, __ATOMIC_RELEASE);
  map->count++;
  return paid ? 1 : 0;
}

static s64 update(struct map *map, const u8 *key, const u8 *value, u64 flags, u64 cpu, u64 paid) {
  u64 how = flags & ~(u64)F_LOCK, locked = flags & F_LOCK;
  u64 old = find(map, key);
  if (how > F_EXIST || (locked && map->lock_offset == NONE)) return -E_INVAL;
  if (old != NONE && how == F_NOEXIST) return -E_EXIST;
  if (old == NONE) return how == F_EXIST ? -E_NOENT : insert(map, key, value, cpu, paid);
  replace(map, old, key, value, cpu, locked || is_per_cpu(map));
  if (map->parts) use_again(map, node_of(map, old)->slot);
  return 0;
}

/* Insert or replace; `paid` says that there is memory for one more element, 1 is returned where that is used. The key
   must not change meanwhile. */
ENTRY s64 ebpf_hash_update(struct map *map, const u8 *key, const u8 *value, u64 flags, u64 cpu, u64 paid) {
  if (!take_lock(&map->lock)) return BUSY;
  s64 result = update(map, key, value, flags, cpu, paid);
  free_lock(&map->lock);
  return result;
}

/* Copy the value out in the form of the system call; a spin lock in it reads as free. */
static void export(const struct map *map, u64 element, u8 *value) {
  if (is_per_cpu(map)) {
    copy(value, value_at(map, element * map->cpus), map->stride * map->cpus);
    return;
  }
  copy(value, value_at(map, element), map->value_size);
  if (map->lock_offset != NONE) clear(value + map->lock_offset, 4);
}

/* Delete an element; `value` gets what it was, unless it is 0. The host takes the memory back, unless `credit` is 1. */
static s64 delete(struct map *map, const u8 *key, u8 *value, u64 credit) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 element = find(map, key);
  if (element != NONE) {
    if (value) export(map, element, value);
    remove(map, element);
    map->credit += credit;
  }
  free_lock(&map->lock);
  return element == NONE ? -E_NOENT : 0;
}

/* The same for the host. The key must not change meanwhile. */
ENTRY s64 ebpf_hash_delete(struct map *map, const u8 *key, u8 *value) { return delete(map, key, value, 0); }

/* Return for how many elements the host may take memory back, and forget them. */
ENTRY s64 ebpf_take_credit(struct map *map) {
  if (!take_lock(&map->lock)) return BUSY;
  s64 credit = (s64)map->credit;
  map->credit = 0;
  free_lock(&map->lock);
  return credit;
}

/* Copy a value out. It is no use of the element. */
ENTRY s64 ebpf_hash_read(struct map *map, const u8 *key, u8 *value) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 element = find(map, key);
  if (element != NONE) export(map, element, value);
  free_lock(&map->lock);
  return element == NONE ? -E_NOENT : 0;
}

/* Return the number of an element; `use` says that a program looks it up. */
ENTRY s64 ebpf_hash_find(struct map *map, const u8 *key, u64 use) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 element = find(map, key);
  if (element != NONE && use && map->parts) use_again(map, node_of(map, element)->slot);
  free_lock(&map->lock);
  return element == NONE ? -E_NOENT : (s64)element;
}

/* Copy the key of the element after the one with `key` (0 or unknown: the first) to `next`. */
RARE ENTRY s64 ebpf_hash_next(struct map *map, const u8 *key, u8 *next) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 element = key ? find(map, key) : NONE;
  u64 slot = slot_from(map, element == NONE ? 0 : node_of(map, element)->slot + 1);
  if (slot != NONE) copy(next, node_of(map, map->slots[slot])->key, map->key_size);
  free_lock(&map->lock);
  return slot == NONE ? -E_NOENT : 0;
}

/* Visit up to `limit` elements from slot `*at` on; return how many, and in `*at` where to go on (NONE: that was the
   end). Keys and values are copied where there is room for them, and so are the numbers of the elements. */
ENTRY s64 ebpf_hash_walk(struct map *map, u64 *at, u64 limit, u8 *keys, u8 *values, u32 *elements) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 size = system_size(map), count = 0;
  u64 slot = slot_from(map, *at);
  for (; slot != NONE && count < limit; count++, slot = slot_from(map, slot + 1)) {
    u64 element = map->slots[slot];
    copy(keys + count * map->key_size, node_of(map, element)->key, map->key_size);
    if (values) export(map, element, values + count * size);
    if (elements) elements[count] = (u32)element;
  }
  free_lock(&map->lock);
  *at = slot;
  return (s64)count;
}

/* The same for many elements, one after the other, as the system call gives them: values of all CPUs. `*done` says how
   many there were before the one that the result is of; 0 where all are done. */
RARE ENTRY s64 ebpf_hash_update_many(struct map *map, const u8 *keys, const u8 *values, u64 count, u64 flags, u64 *done) {
  u64 size = system_size(map), cpu = is_per_cpu(map) ? ALL_CPUS : 0;
  for (u64 i = 0; i < count; i++) {
    s64 result = ebpf_hash_update(map, keys + i * map->key_size, values + i * size, flags, cpu, 0);
    *done = i + !result;
    if (result) return result;
  }
  return 0;
}

RARE ENTRY s64 ebpf_hash_delete_many(struct map *map, const u8 *keys, u64 count, u64 *done) {
  for (u64 i = 0; i < count; i++) {
    s64 result = delete(map, keys + i * map->key_size, 0, 0);
    *done = i + !result;
    if (result) return result;
  }
  return 0;
}

/* `found` gets 1 for each key that is there. */
RARE ENTRY s64 ebpf_hash_read_many(struct map *map, const u8 *keys, u64 count, u8 *values, u8 *found, u64 *done) {
  u64 size = system_size(map);
  for (u64 i = 0; i < count; i++) {
    s64 result = ebpf_hash_read(map, keys + i * map->key_size, values + i * size);
    *done = i;
    if (result == BUSY) return BUSY;
    found[i] = !result;
  }
  *done = count;
  return 0;
}

/* Drop all elements; return how many there were. */
RARE ENTRY s64 ebpf_hash_clear(struct map *map) {
  if (!take_lock(&map->lock)) return BUSY;
  s64 count = (s64)map->count;
  for (u64 slot = 0; slot < map->used_slots; slot++)
    if (map->slots[slot]) remove(map, map->slots[slot]);
  free_lock(&map->lock);
  return count;
}

/* Note the use of an element of an LRU map that was found without the lock; 0 where it is not free. */
static u64 note_lookup(struct map *map, u64 element) {
  if (!take_lock(&map->lock)) return 0;
  u64 slot = node_of(map, element)->slot;
  if (map->slots[slot] == element) use_again(map, slot); /* else it is gone, or has been replaced */
  free_lock(&map->lock);
  return 1;
}

ENTRY s64 ebpf_take_lock(struct map *map) {
  return take_lock(&map->lock) ? 0 : BUSY;
}
