/* Regions that native code opens and closes: the stacks of functions, records of ring buffers. The host keeps half of the
   table free. */
#pragma once
#include "machine.h"

static void zero(u64 *words, u64 count) {
  for (u64 i = 0; i < count; i++) words[i] = 0;
}

/* The number that the next region gets. */
static u64 free_number(const struct machine *m) {
  u64 number = m->next;
  while (m->table[number & m->mask].first) number++;
  return number;
}

static u32 room_for(u64 size, u64 bytes) { return size < bytes ? 0 : (u32)(size - bytes + 1); }

/* Make `size` bytes accessible as region `number`. */
static void open_region(struct machine *m, u64 number, u8 *data, u64 size) {
  const u32 rooms[] = {room_for(size, 1), room_for(size, 2), room_for(size, 4), room_for(size, 8)};
  m->table[number & m->mask] = (struct region){.first = number << 32,
                                               .data = data,
                                               .read = {rooms[0], rooms[1], rooms[2], rooms[3]},
                                               .write = {rooms[0], rooms[1], rooms[2], rooms[3]}};
  m->next = number + 1;
  m->live++;
  m->changes++;
}

static void close_region(struct machine *m, u64 number) {
  zero((u64 *)(m->table + (number & m->mask)), sizeof(struct region) / 8);
  m->live--;
  m->changes++;
}

/* Make the stack of frame `depth` accessible, its last `used` bytes zero; return its end. */
static u64 open_stack(struct machine *m, u64 depth, u64 used) {
  u64 number = free_number(m);
  u8 *stack = m->stacks + depth * STACK_SIZE;
  zero((u64 *)(stack + STACK_SIZE - used), used / 8);
  open_region(m, number, stack, STACK_SIZE);
  m->numbers[depth] = number;
  return (number << 32) + STACK_SIZE;
}

/* Make the stack that ends at `end` inaccessible. */
static void close_stack(struct machine *m, u64 end) { close_region(m, end >> 32); }
