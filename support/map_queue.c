/* Queues and stacks (kernel/bpf/queue_stack_maps.c). Every function returns BUSY where the lock is not free. */
#include "map_lock.h"

static u64 wrap(const struct map *map, u64 index) {
  return index < map->max_entries ? index : index - map->max_entries;
}

/* Append a value; to a full map only with BPF_EXIST, the oldest value goes then. */
ENTRY s64 ebpf_queue_push(struct map *map, const u8 *value, u64 flags) {
  if (flags & F_NOEXIST || flags > F_EXIST) return -E_INVAL;
  if (!take_lock(&map->lock)) return BUSY;
  s64 result = 0;
  if (map->count < map->max_entries) {
    copy(value_at(map, wrap(map, map->head + map->count++)), value, map->value_size);
  } else if (flags == F_EXIST) {
    copy(value_at(map, map->head), value, map->value_size);
    map->head = wrap(map, map->head + 1);
  } else {
    result = -E_2BIG;
  }
  free_lock(&map->lock);
  return result;
}

/* Copy the next value out, and take it away where `take` is not 0. */
ENTRY s64 ebpf_queue_next(struct map *map, u8 *value, u64 take) {
  if (!take_lock(&map->lock)) return BUSY;
  s64 result = -E_NOENT;
  if (map->count) {
    u64 newest = map->type == MAP_STACK;
    copy(value, value_at(map, newest ? wrap(map, map->head + map->count - 1) : map->head), map->value_size);
    if (take) {
      map->count--;
      if (!newest) map->head = wrap(map, map->head + 1);
    }
    result = 0;
  }
  free_lock(&map->lock);
  return result;
}
