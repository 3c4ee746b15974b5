/* Frames of functions: their stacks are regions like any other memory. */
#pragma once
#include "machine.h"

static void zero(u64 *words, u64 count) {
  for (u64 i = 0; i < count; i++) words[i] = 0;
}

/* Make the stack of frame `depth` accessible; return its end. There is a place: the host keeps half of the table free. */
static u64 open_stack(struct machine *m, u64 depth) {
  u64 number = m->next;
  while (m->table[number & m->mask].first) number++;
  u8 *stack = m->stacks + depth * STACK_SIZE;
  zero((u64 *)stack, STACK_SIZE / 8);
  const u32 size = STACK_SIZE;
  m->table[number & m->mask] = (struct region){.first = number << 32,
                                               .data = stack,
                                               .read = {size, size - 1, size - 3, size - 7},
                                               .write = {size, size - 1, size - 3, size - 7}};
  m->numbers[depth] = number;
  m->next = number + 1;
  m->live++;
  m->changes++;
  return (number << 32) + STACK_SIZE;
}

/* Make the stack that ends at `end` inaccessible. */
static void close_stack(struct machine *m, u64 end) {
  zero((u64 *)(m->table + ((end >> 32) & m->mask)), sizeof(struct region) / 8);
  m->live--;
  m->changes++;
}
