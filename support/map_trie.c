/* Tries for longest-prefix matches (kernel/bpf/lpm_trie.c). A node holds an element, or is where two subtrees part.
   Look-ups take no lock: nodes are changed before they can be seen, and what was taken out stays as it is
   (map_elements.h). Results are those of src/ebpf/vm/maps/lpm.py. */
#include "map_elements.h"

/* A key: how many bits count, and the bits, the first in the highest bit of the first byte. */
struct prefix {
  u32 length;
  u8 bits[];
};

struct trie_node {
  u32 child[2]; /* numbers of elements, 0: none */
  u32 parting;  /* not 0: no element */
  struct prefix prefix;
};

static inline struct trie_node *trie_node(const struct map *map, u64 element) {
  return (struct trie_node *)(map->nodes + element * map->node_stride);
}

static inline u64 longest_prefix(const struct map *map) { return (map->key_size - 4) * 8; }

static inline u64 bit_at(const struct prefix *prefix, u64 at) { return prefix->bits[at / 8] >> (7 - at % 8) & 1; }

/* How many bits two keys have in common, at most the shorter one's length. */
static __attribute__((noinline)) u64 common_bits(const struct map *map, const struct prefix *a, const struct prefix *b) {
  u64 most = a->length < b->length ? a->length : b->length, size = map->key_size - 4, at = 0;
  for (; at + 4 <= size && at * 8 < most; at += 4) {
    u32 differ = __builtin_bswap32(load32(a->bits + at) ^ load32(b->bits + at));
    if (differ) return at * 8 + (u64)__builtin_clz(differ) < most ? at * 8 + (u64)__builtin_clz(differ) : most;
  }
  for (; at < size && at * 8 < most; at++) {
    u32 differ = a->bits[at] ^ b->bits[at];
    if (differ) return at * 8 + (u64)__builtin_clz(differ) - 24 < most ? at * 8 + (u64)__builtin_clz(differ) - 24 : most;
  }
  return most;
}

/* Number of the element with the longest prefix that covers a key; NONE where there is none. */
static __attribute__((noinline)) u64 trie_element(const struct map *map, const u8 *key) {
  const struct prefix *wanted = (const struct prefix *)key;
  u64 found = NONE, longest = longest_prefix(map);
  if (wanted->length > longest) return NONE;
  u64 element = __atomic_load_n(map->buckets, __ATOMIC_ACQUIRE);
  while (element) {
    const struct trie_node *node = trie_node(map, element);
    u64 length = node->prefix.length;
    if (common_bits(map, &node->prefix, wanted) < length) break;
    if (!__atomic_load_n(&node->parting, __ATOMIC_RELAXED)) found = element;
    if (length == longest) break;
    element = __atomic_load_n(node->child + bit_at(wanted, length), __ATOMIC_ACQUIRE);
  }
  return found;
}

/* Where the way to a prefix ends: at the link to the first node that is not a shorter prefix of it. `above` gets the link
   before, 0 at the root. */
static __attribute__((noinline)) u32 *way_to(struct map *map, const struct prefix *wanted, u32 **above) {
  u32 *link = map->buckets;
  *above = 0;
  while (*link) {
    struct trie_node *node = trie_node(map, *link);
    u64 length = node->prefix.length;
    if (length >= wanted->length || common_bits(map, &node->prefix, wanted) < length) break;
    *above = link;
    link = node->child + bit_at(wanted, length);
  }
  return link;
}

/* Whether the node behind a link stands for exactly this prefix. */
static u64 is_at(const struct map *map, u64 element, const struct prefix *wanted) {
  if (!element) return 0;
  const struct prefix *found = &trie_node(map, element)->prefix;
  return found->length == wanted->length && common_bits(map, found, wanted) == wanted->length;
}

static void set_link(u32 *link, u64 element) { __atomic_store_n(link, (u32)element, __ATOMIC_RELEASE); }

RARE static void fill_node(struct map *map, u64 element, const struct prefix *prefix, u64 parting) {
  struct trie_node *node = trie_node(map, element);
  node->child[0] = node->child[1] = 0;
  node->parting = (u32)parting;
  copy((u8 *)&node->prefix, (const u8 *)prefix, map->key_size);
}

/* Whether a new node needs another one, where the ways to it and to what is there part. */
static u64 ways_part(const struct map *map, u64 there, const struct prefix *prefix) {
  return there && common_bits(map, prefix, &trie_node(map, there)->prefix) < prefix->length;
}

/* Put a new node before or beside what is behind a link; `parting` is an unused element where the ways part, else 0. */
RARE static void put_node(struct map *map, u32 *link, u64 element, u64 parting) {
  struct trie_node *node = trie_node(map, element);
  u64 there = *link, top = element;
  if (there) {
    const struct prefix *other = &trie_node(map, there)->prefix;
    u64 common = common_bits(map, &node->prefix, other);
    if (parting) {
      fill_node(map, parting, other, 1);
      trie_node(map, parting)->prefix.length = (u32)common;
      trie_node(map, parting)->child[bit_at(&node->prefix, common)] = (u32)element;
      top = parting;
    }
    trie_node(map, top)->child[bit_at(other, common)] = (u32)there;
  }
  set_link(link, top);
}

/* Put a new node in the place of one with the same prefix. */
RARE static void replace_node(struct map *map, u32 *link, u64 element) {
  u64 before = *link;
  trie_node(map, element)->child[0] = trie_node(map, before)->child[0];
  trie_node(map, element)->child[1] = trie_node(map, before)->child[1];
  set_link(link, element);
  defer(map, before);
}

RARE static s64 insert_prefix(struct map *map, u32 *link, const struct prefix *prefix, const u8 *value, u64 paid) {
  u64 on_credit = map->accounted && !paid, there = *link, replaces = is_at(map, there, prefix);
  u64 is_new = !replaces || trie_node(map, there)->parting;
  if (is_new && map->count >= map->max_entries) return -E_NOSPC;
  if (is_new && on_credit && !map->credit) return UNPAID;
  u64 parts = !replaces && ways_part(map, there, prefix);
  u64 element = new_element(map), parting = element && parts ? new_element(map) : 0;
  if (!element && !is_new) {
    copy(value_at(map, there), value, map->value_size); /* as hash tables do without free memory */
    return 0;
  }
  if (!element || (parts && !parting)) {
    if (element) defer(map, element);
    return EXHAUSTED;
  }
  fill_node(map, element, prefix, 0);
  copy(value_at(map, element), value, map->value_size);
  if (replaces)
    replace_node(map, link, element);
  else
    put_node(map, link, element, parting);
  map->count += is_new;
  if (is_new && on_credit) map->credit--;
  return is_new && paid ? 1 : 0;
}

/* Insert or replace, as ebpf_hash_update does. The key must not change meanwhile. */
RARE ENTRY s64 ebpf_trie_update(struct map *map, const u8 *key, const u8 *value, u64 flags, u64 paid) {
  const struct prefix *prefix = (const struct prefix *)key;
  if (flags > F_EXIST || prefix->length > longest_prefix(map)) return -E_INVAL;
  if (!take_lock(&map->lock)) return BUSY;
  u32 *above, *link = way_to(map, prefix, &above);
  u64 exists = is_at(map, *link, prefix) && !trie_node(map, *link)->parting;
  s64 result;
  if (exists && flags == F_NOEXIST)
    result = -E_EXIST;
  else if (!exists && flags == F_EXIST)
    result = -E_NOENT;
  else
    result = insert_prefix(map, link, prefix, value, paid);
  free_lock(&map->lock);
  return result;
}

/* Take out the element behind a link; `above` leads to the node before. */
RARE static void remove_node(struct map *map, u32 *link, u32 *above) {
  u64 element = *link;
  struct trie_node *node = trie_node(map, element);
  map->count--;
  if (node->child[0] && node->child[1]) {
    __atomic_store_n(&node->parting, 1, __ATOMIC_RELAXED);
    return;
  }
  u64 rest = node->child[0] ? node->child[0] : node->child[1], parent = above ? *above : 0;
  if (!rest && parent && trie_node(map, parent)->parting) {
    struct trie_node *parting = trie_node(map, parent);
    set_link(above, parting->child[0] == element ? parting->child[1] : parting->child[0]);
    defer(map, parent);
  } else {
    set_link(link, rest);
  }
  defer(map, element);
}

RARE static s64 delete_prefix(struct map *map, const u8 *key, u64 credit) {
  const struct prefix *prefix = (const struct prefix *)key;
  if (prefix->length > longest_prefix(map)) return -E_INVAL;
  if (!take_lock(&map->lock)) return BUSY;
  u32 *above, *link = way_to(map, prefix, &above);
  u64 exists = is_at(map, *link, prefix) && !trie_node(map, *link)->parting;
  if (exists) {
    remove_node(map, link, above);
    map->credit += credit;
  }
  free_lock(&map->lock);
  return exists ? 0 : -E_NOENT;
}

ENTRY s64 ebpf_trie_delete(struct map *map, const u8 *key) { return delete_prefix(map, key, 0); }

/* Return the number of the element that covers a key, and copy its value where there is room for it. */
ENTRY s64 ebpf_trie_find(struct map *map, const u8 *key, u8 *value) {
  if (!take_lock(&map->lock)) return BUSY;
  u64 element = trie_element(map, key);
  if (element != NONE && value) copy(value, value_at(map, element), map->value_size);
  free_lock(&map->lock);
  return element == NONE ? -E_NOENT : (s64)element;
}

/* Walks meet both subtrees of a prefix before the prefix itself. */
RARE static u64 first_below(const struct map *map, u64 element) {
  while (element) {
    const struct trie_node *node = trie_node(map, element);
    u64 next = node->child[0] ? node->child[0] : node->child[1];
    if (!next) break;
    element = next;
  }
  return element;
}

RARE static u64 node_after(struct map *map, u64 element) {
  u32 *above;
  way_to(map, &trie_node(map, element)->prefix, &above);
  if (!above) return 0;
  const struct trie_node *parent = trie_node(map, *above);
  return parent->child[0] == element && parent->child[1] ? first_below(map, parent->child[1]) : *above;
}

/* Copy the key of the element after the one with exactly this prefix (0 or unknown: the first) to `next`; return its
   number. */
RARE ENTRY s64 ebpf_trie_next(struct map *map, const u8 *key, u8 *next) {
  if (!take_lock(&map->lock)) return BUSY;
  const struct prefix *prefix = (const struct prefix *)key;
  u64 element = 0, known = 0;
  if (key && prefix->length <= longest_prefix(map)) {
    u32 *above, *link = way_to(map, prefix, &above);
    known = is_at(map, *link, prefix) && !trie_node(map, *link)->parting;
    element = *link;
  }
  element = known ? node_after(map, element) : first_below(map, *map->buckets);
  while (element && trie_node(map, element)->parting) element = node_after(map, element);
  if (element) copy(next, (const u8 *)&trie_node(map, element)->prefix, map->key_size);
  free_lock(&map->lock);
  return element ? (s64)element : -E_NOENT;
}
