/* The elements of hash tables: which memory is free for a new one. The caller has the lock.

   Runs look up without it, and keep what they found until they end. So an element that was taken out stays as it is,
   its place in the chain included, until every run has ended that began before (epochs). There is one clock of epochs
   for all maps: word 0 is the time, word 1 the number of words in use, the others the times at which the runs began
   that have not ended, 0 where there is none. */
#pragma once
#include "map_lock.h"

static inline u64 oldest_run(const u64 *epochs) {
  /* A run that enters its epoch now does not find the elements that were taken out before this look; what is taken out
     from now on it may find. */
  u64 oldest = __atomic_load_n(epochs, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  u64 used = __atomic_load_n(epochs + 1, __ATOMIC_RELAXED);
  for (u64 i = 2; i < used; i++) {
    u64 began = __atomic_load_n(epochs + i, __ATOMIC_RELAXED);
    if (began && began < oldest) oldest = began;
  }
  return oldest;
}

/* Return an element that nobody can see, 0 if there is none. */
static inline u64 new_element(struct map *map) {
  u64 element = map->deferred_first;
  if (element) {
    struct deferred *deferred = map->deferred + element;
    if (deferred->epoch >= map->reusable) map->reusable = oldest_run(map->epochs);
    if (deferred->epoch < map->reusable) {
      map->deferred_first = deferred->next;
      if (!deferred->next) map->deferred_last = 0;
      return element;
    }
  }
  return map->fresh < map->capacity ? ++map->fresh : 0;
}

/* Take note of an element that has left its bucket. */
static inline void defer(struct map *map, u64 element) {
  map->deferred[element] = (struct deferred){__atomic_fetch_add(map->epochs, 1, __ATOMIC_SEQ_CST), 0};
  if (map->deferred_last)
    map->deferred[map->deferred_last].next = element;
  else
    map->deferred_first = element;
  map->deferred_last = element;
}

/* Walks go by slot. A free slot is used again before a new one, the one that was freed last first. */
static inline u64 take_slot(struct map *map, u64 element) {
  u64 slot = map->free_count ? map->free_slots[--map->free_count] : map->used_slots++;
  map->slots[slot] = (u32)element;
  if (slot < map->first_slot) map->first_slot = slot;
  return slot;
}

static inline void free_slot(struct map *map, u64 slot) {
  map->slots[slot] = 0;
  map->free_slots[map->free_count++] = (u32)slot;
}

/* Return the occupied slot at or after `slot`, NONE if there is none. */
static inline u64 slot_from(struct map *map, u64 slot) {
  u64 start = slot > map->first_slot ? slot : map->first_slot, at = start;
  while (at < map->used_slots && !map->slots[at]) at++;
  if (start == map->first_slot) map->first_slot = at;
  return at < map->used_slots ? at : NONE;
}

/* The order of use of an LRU map: a ring for each part, its head behind the slots. */
static inline u64 head_of_part(const struct map *map, u64 part) {
  return map->max_entries + part;
}

static inline void forget_use(struct map *map, u64 slot) {
  struct uses *uses = map->uses + slot;
  map->uses[uses->older].newer = uses->newer;
  map->uses[uses->newer].older = uses->older;
  map->part_counts[uses->part]--;
}

static inline void note_use(struct map *map, u64 slot, u64 part) {
  u32 head = (u32)head_of_part(map, part), last = map->uses[head].older;
  map->uses[slot] = (struct uses){last, head, (u32)part, 0};
  map->uses[last].newer = (u32)slot;
  map->uses[head].older = (u32)slot;
  map->part_counts[part]++;
}

static inline void use_again(struct map *map, u64 slot) {
  u64 part = map->uses[slot].part;
  forget_use(map, slot);
  note_use(map, slot, part);
}
