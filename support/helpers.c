/* Helpers, most of them on maps in native storage: the good path alone. Whatever is unusual is left to the host, which
   does it, or says what is wrong with it (src/ebpf/vm/helpers). */
#include "frames.h"
#include "memory.h"

enum {
  HELPER_LOOKUP = 1,
  HELPER_UPDATE = 2,
  HELPER_DELETE = 3,
  HELPER_KTIME = 5,
  HELPER_RANDOM = 7,
  HELPER_REDIRECT = 23,
  HELPER_PROCESSOR = 8,
  HELPER_NUMA_NODE = 42,
  HELPER_REDIRECT_MAP = 51,
  HELPER_PUSH = 87,
  HELPER_POP = 88,
  HELPER_PEEK = 89,
  HELPER_SPIN_LOCK = 93,
  HELPER_SPIN_UNLOCK = 94,
  HELPER_RING_OUTPUT = 130,
  HELPER_RING_RESERVE = 131,
  HELPER_RING_SUBMIT = 132,
  HELPER_RING_DISCARD = 133,
  HELPER_RING_QUERY = 134,
  HELPER_BOOT_TIME = 125,
  HELPER_COARSE_TIME = 160,
  HELPER_JIFFIES = 118,
  HELPER_LOOKUP_PERCPU = 195,
  HELPER_TAI = 208
};
/* Clocks of Linux, which is the only system whose clock is called here; a tick is that of helpers/environment.py. */
enum { CLOCK_MONOTONIC = 1, CLOCK_BOOTTIME = 7, CLOCK_TAI = 11, TICK_NS = 4000000 };
/* What XDP and tc programs return (net/core/filter.c). */
enum { XDP_ABORTED = 0, XDP_REDIRECT = 4, TC_ACT_SHOT = 2, TC_ACT_REDIRECT = 7, INGRESS = 1 };
enum { ACTIONS = 3, BROADCAST = 1 << 3, EXCLUDE_INGRESS = 1 << 4 };
enum { LONGEST_KEY = 64, LARGEST_SIZE = 1 << 29 };

static u64 leave_to_host(struct machine *m) {
  m->status = 1;
  return 0;
}

/* Return what a function on a map has returned, unless the host is needed. */
static u64 answer(struct machine *m, s64 result) {
  return result >= BUSY ? leave_to_host(m) : (u64)result;
}

/* The address of a value of the map that register 1 stands for. */
static u64 value_address(const struct machine *m, const struct map *map, u64 element, u64 cpu) {
  return (m->r[1] ^ MAP_ADDRESS ^ VALUE_ADDRESS) + (value_number(element, map->cpus, cpu) << map->shift);
}

/* The address of the map that is element `element` of a map of maps. */
static u64 inner_map(struct machine *m, const struct map *map, u64 element) {
  if (element == NONE) return 0;
  u64 inner = __atomic_load_n((const u64 *)value_at(map, element), __ATOMIC_ACQUIRE);
  if (!inner) return 0;
  for (u64 place = 1; place < m->value_places; place++)
    if ((u64)m->values[place].map == inner) return MAP_ADDRESS | place << VALUE_PLACE_SHIFT;
  return leave_to_host(m);
}

static u64 lookup(struct machine *m, struct map *map, const u8 *key, u64 cpu) {
  u64 element;
  switch (map->type) {
    case MAP_ARRAY:
    case MAP_PERCPU_ARRAY:
      element = array_element(map->max_entries, key);
      break;
    case MAP_HASH:
    case MAP_PERCPU_HASH:
    case MAP_LRU_HASH:
    case MAP_LRU_PERCPU_HASH:
      element = hash_element(map, key, map->key_size);
      if (element != NONE && map->parts && !note_lookup(map, element)) return leave_to_host(m);
      break;
    case MAP_LPM_TRIE:
      element = trie_element(map, key);
      break;
    case MAP_ARRAY_OF_MAPS:
      return inner_map(m, map, array_element(map->max_entries, key));
    case MAP_HASH_OF_MAPS:
      return inner_map(m, map, hash_element(map, key, map->key_size));
    default:
      return leave_to_host(m);
  }
  return element == NONE ? 0 : value_address(m, map, element, cpu);
}

static u64 lookup_percpu(struct machine *m, struct map *map, const u8 *key, u64 cpu) {
  switch (map->type) {
    case MAP_PERCPU_ARRAY:
    case MAP_PERCPU_HASH:
    case MAP_LRU_PERCPU_HASH:
      return cpu < map->cpus ? lookup(m, map, key, cpu) : 0;
    default:
      return leave_to_host(m);
  }
}

/* Write an element of an array (array_map_update_elem). */
static u64 update_array(struct map *map, const u8 *key, const u8 *value, u64 flags, u64 cpu) {
  if (flags > F_EXIST) return (u64)-E_INVAL;
  u64 element = array_element(map->max_entries, key);
  if (element == NONE) return (u64)-E_2BIG;
  if (flags & F_NOEXIST) return (u64)-E_EXIST;
  copy_around_lock(map, value_at(map, value_number(element, map->cpus, cpu)), value);
  return 0;
}

static u64 update_element(struct machine *m, struct map *map, const u8 *key) {
  const u8 *value = promised(m, m->r[3], map->value_size, READABLE);
  u64 flags = m->r[4];
  if (!value || !(map->access & WRITABLE)) return leave_to_host(m);
  switch (map->type) {
    case MAP_ARRAY:
    case MAP_PERCPU_ARRAY:
      if (flags & F_LOCK) return leave_to_host(m);
      return update_array(map, key, value, flags, m->cpu);
    case MAP_HASH:
    case MAP_PERCPU_HASH:
    case MAP_LRU_HASH:
    case MAP_LRU_PERCPU_HASH:
      return answer(m, ebpf_hash_update(map, key, value, flags, m->cpu, 0));
    case MAP_LPM_TRIE:
      return answer(m, ebpf_trie_update(map, key, value, flags, 0));
    default:
      return leave_to_host(m);
  }
}

static u64 delete_element(struct machine *m, struct map *map, const u8 *key) {
  if (!(map->access & WRITABLE)) return leave_to_host(m);
  switch (map->type) {
    case MAP_HASH:
    case MAP_PERCPU_HASH:
    case MAP_LRU_HASH:
    case MAP_LRU_PERCPU_HASH:
      return answer(m, delete(map, key, 0, map->accounted));
    case MAP_LPM_TRIE:
      return answer(m, delete_prefix(map, key, map->accounted));
    default:
      return leave_to_host(m);
  }
}

/* The helpers whose second argument is a key. */
static u64 call_with_key(struct machine *m, u64 number, struct map *map) {
  const u8 *key = promised(m, m->r[2], map->key_size, READABLE);
  if (!key) return leave_to_host(m);
  if (number == HELPER_LOOKUP) return lookup(m, map, key, m->cpu);
  if (number == HELPER_LOOKUP_PERCPU) return lookup_percpu(m, map, key, (u32)m->r[3]);
  /* Another thread may write to the key meanwhile: it must not change between two looks at it. */
  u8 stable[LONGEST_KEY];
  if (map->key_size > LONGEST_KEY) return leave_to_host(m);
  copy(stable, key, map->key_size);
  return number == HELPER_UPDATE ? update_element(m, map, stable) : delete_element(m, map, stable);
}

RARE static u64 bloom(struct machine *m, u64 number, struct map *map, const u8 *value) {
  if (number == HELPER_PEEK) return (u64)ebpf_bloom_peek(map, value);
  return number == HELPER_PUSH && !m->r[3] ? (u64)ebpf_bloom_push(map, value) : leave_to_host(m);
}

static u64 call_with_value(struct machine *m, u64 number, struct map *map) {
  u8 *value = promised(m, m->r[2], map->value_size, number == HELPER_PUSH ? READABLE : WRITABLE);
  if (!value || (number != HELPER_PEEK && !(map->access & WRITABLE))) return leave_to_host(m);
  if (map->type == MAP_BLOOM_FILTER) return bloom(m, number, map, value);
  if (map->type != MAP_QUEUE && map->type != MAP_STACK) return leave_to_host(m);
  if (number == HELPER_PUSH) return answer(m, ebpf_queue_push(map, value, m->r[3]));
  s64 result = ebpf_queue_next(map, value, number == HELPER_POP);
  if (result == -E_NOENT) clear(value, map->value_size);
  return answer(m, result);
}

/* What a helper returns that found no room: `dropped`, unless the host has to wait for a reader, or to wake one that may
   sleep while its ring is full. */
static u64 ring_full(struct machine *m, const struct map *map, s64 dropped) {
  u64 wakeups = __atomic_load_n(&map->wakeups, __ATOMIC_RELAXED), woken = __atomic_load_n(&map->woken, __ATOMIC_RELAXED);
  return m->waits || wakeups != woken ? leave_to_host(m) : (u64)dropped;
}

static u64 ring_output(struct machine *m, struct map *map) {
  u64 size = m->r[3];
  const u8 *data = size < LARGEST_SIZE ? promised(m, m->r[2], size, READABLE) : 0;
  if (!data || map->type != MAP_RINGBUF) return leave_to_host(m);
  s64 result = write_record(map, data, size, m->r[4], &m->due);
  return result == -E_AGAIN ? ring_full(m, map, result) : answer(m, result);
}

/* The place of the record in region `number`; of number 0: a free place. 0 where there is none. */
static struct record *record_of(struct machine *m, u64 number) {
  for (int i = 0; i < MAX_RECORDS; i++)
    if (m->records[i].number == number) return m->records + i;
  return 0;
}

static u64 ring_reserve(struct machine *m, struct map *map) {
  u64 size = m->r[2];
  struct record *record = record_of(m, 0);
  if (map->type != MAP_RINGBUF || m->r[3] || !record || !size || size > map->max_entries) return leave_to_host(m);
  if (2 * (m->live + 1) > m->mask + 1 || m->next > 0xfffffffe - m->mask) return leave_to_host(m);
  s64 result = ebpf_ring_reserve(map, size, &record->position);
  if (result) return result == -E_AGAIN ? ring_full(m, map, 0) : leave_to_host(m);
  u64 number = free_number(m);
  u64 at = (record->position & (map->max_entries - 1)) + RECORD_HEADER;
  open_region(m, number, map->values + at, size);
  record->ring = map;
  record->size = size;
  record->number = number;
  return number << 32;
}

/* Hand over a record, or discard it; its pointer is worth nothing from then on. */
static u64 ring_commit(struct machine *m, u32 flag) {
  u64 number = m->r[1] >> 32;
  struct record *record = number && !(u32)m->r[1] ? record_of(m, number) : 0;
  if (!record) return leave_to_host(m);
  if (ebpf_ring_commit(record->ring, record->position, record->size | flag, m->r[2])) m->due = 1;
  record->number = 0;
  close_region(m, number);
  return 0;
}

static u64 ring_query(struct machine *m, struct map *map) {
  if (map->type != MAP_RINGBUF) return leave_to_host(m);
  u64 consumer = __atomic_load_n(&map->head, __ATOMIC_ACQUIRE), producer = __atomic_load_n(&map->count, __ATOMIC_ACQUIRE);
  switch (m->r[2]) {
    case 0: return producer - consumer;
    case 1: return map->max_entries;
    case 2: return consumer;
    case 3: return producer;
    default: return 0;
  }
}

static u64 redirect(struct machine *m) {
  u64 is_xdp = m->form == FORM_XDP, flags = m->r[2];
  if (m->form == FORM_OTHER) return leave_to_host(m);
  if (flags & ~(u64)(is_xdp ? 0 : INGRESS)) return is_xdp ? XDP_ABORTED : TC_ACT_SHOT;
  m->redirect = (struct redirect){TO_INTERFACE, (u32)m->r[1], 0, flags};
  m->changes++;
  return is_xdp ? XDP_REDIRECT : TC_ACT_REDIRECT;
}

/* `values` of a map of targets says of each whether it is there. The low bits of the flags are the verdict where not. */
static u64 redirect_map(struct machine *m, const struct map *map) {
  u64 key = (u32)m->r[2], flags = m->r[3], devices = map->type == MAP_DEVMAP;
  if (m->form != FORM_XDP || (!devices && map->type != MAP_CPUMAP && map->type != MAP_XSKMAP)) return leave_to_host(m);
  if (flags & ~(u64)(devices ? ACTIONS | BROADCAST | EXCLUDE_INGRESS : ACTIONS)) return XDP_ABORTED;
  u64 is_there = flags & BROADCAST || (key < map->max_entries && __atomic_load_n(map->values + key, __ATOMIC_RELAXED));
  m->redirect = (struct redirect){is_there ? TO_MAP : TO_NOBODY, (u64)map, key, flags};
  m->changes++;
  return is_there ? XDP_REDIRECT : flags & ACTIONS;
}

static u64 call_with_map(struct machine *m, u64 number) {
  const struct values *of = map_at(m, m->r[1]);
  if (!of) return leave_to_host(m);
  switch (number) {
    case HELPER_PUSH:
    case HELPER_POP:
    case HELPER_PEEK:
      return call_with_value(m, number, of->map);
    case HELPER_RING_OUTPUT:
      return ring_output(m, of->map);
    case HELPER_RING_RESERVE:
      return ring_reserve(m, of->map);
    case HELPER_RING_QUERY:
      return ring_query(m, of->map);
    case HELPER_REDIRECT_MAP:
      return redirect_map(m, of->map);
    default:
      return call_with_key(m, number, of->map);
  }
}

static u64 nanoseconds(struct machine *m, s32 clock, u64 unit) {
  s64 time[2];
  if (!m->clock || m->clock(clock, time)) return leave_to_host(m);
  return ((u64)time[0] * 1000000000 + (u64)time[1]) / unit;
}

/* Take the next number; NONE where all that were drawn are taken. Their places are written to only then: the number that
   was read is this one, if nobody else has taken one meanwhile. */
ENTRY u64 ebpf_take_random(struct random *random) {
  u64 next = __atomic_load_n(&random->next, __ATOMIC_ACQUIRE), number;
  do {
    if (next >= __atomic_load_n(&random->drawn, __ATOMIC_ACQUIRE)) return NONE;
    number = __atomic_load_n(random->numbers + next % NUMBERS_AHEAD, __ATOMIC_RELAXED);
  } while (!__atomic_compare_exchange_n(&random->next, &next, next + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  return number;
}

static u64 random_number(struct machine *m) {
  u64 number = m->random ? ebpf_take_random(m->random) : NONE;
  return number == NONE ? leave_to_host(m) : number;
}

/* Spin locks in values. While one is held, every other helper is the host's, who takes note of it then. */
ENTRY u64 ebpf_take_spin_lock(u32 *lock) {
  u32 expected = 0;
  return __atomic_compare_exchange_n(lock, &expected, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static u32 *spin_lock_at(const struct machine *m, u64 address) {
  u8 *word = value_bytes(m, address, 4, WRITABLE);
  if (!word || (u64)word & 3) return 0;
  const struct values *values = m->values + ((address & ~VALUE_ADDRESS) >> VALUE_PLACE_SHIFT);
  return (address & ((1ull << values->shift) - 1)) == values->map->lock_offset ? (u32 *)word : 0;
}

static u64 spin_lock(struct machine *m) {
  u32 *lock = spin_lock_at(m, m->r[1]);
  if (!lock || !ebpf_take_spin_lock(lock)) return leave_to_host(m);
  m->locked = m->r[1];
  m->lock = lock;
  m->ask = 1;
  m->changes++;
  return 0;
}

static u64 release_spin_lock(struct machine *m) {
  __atomic_store_n(m->lock, 0, __ATOMIC_RELEASE);
  m->locked = m->ask = 0;
  return 0;
}

/* Call helper `number` with the arguments in registers 1 to 5 and return its result. Where `status` is not 0 then,
   nothing has happened, and the host has to be asked. */
ENTRY u64 ebpf_helper(struct machine *m, u64 number) {
  if (m->locked && number == HELPER_SPIN_UNLOCK && m->r[1] == m->locked) return release_spin_lock(m);
  if (m->ask) return leave_to_host(m);
  if ((m->unseen += CALL_UNSEEN) > MOST_UNSEEN) {
    m->unseen = 0;
    return leave_to_host(m);
  }
  switch (number) {
    case HELPER_LOOKUP:
    case HELPER_UPDATE:
    case HELPER_DELETE:
    case HELPER_PUSH:
    case HELPER_POP:
    case HELPER_PEEK:
    case HELPER_LOOKUP_PERCPU:
    case HELPER_RING_OUTPUT:
    case HELPER_RING_RESERVE:
    case HELPER_RING_QUERY:
    case HELPER_REDIRECT_MAP:
      return call_with_map(m, number);
    case HELPER_RING_SUBMIT:
      return ring_commit(m, 0);
    case HELPER_RING_DISCARD:
      return ring_commit(m, RECORD_DISCARDED);
    case HELPER_KTIME:
      return nanoseconds(m, CLOCK_MONOTONIC, 1);
    case HELPER_BOOT_TIME:
      return nanoseconds(m, CLOCK_BOOTTIME, 1);
    case HELPER_TAI:
      return nanoseconds(m, CLOCK_TAI, 1);
    case HELPER_COARSE_TIME:
      return nanoseconds(m, CLOCK_MONOTONIC, TICK_NS) * TICK_NS;
    case HELPER_JIFFIES:
      return nanoseconds(m, CLOCK_MONOTONIC, TICK_NS);
    case HELPER_RANDOM:
      return random_number(m);
    case HELPER_REDIRECT:
      return redirect(m);
    case HELPER_SPIN_LOCK:
      return spin_lock(m);
    case HELPER_PROCESSOR:
      return m->cpu;
    case HELPER_NUMA_NODE:
      return 0;
    default:
      return leave_to_host(m);
  }
}
