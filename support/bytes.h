/* Copying bytes. */
#pragma once
#include "machine.h"

/* Values of maps are read and written by other threads meanwhile, so words are copied whole where both sides are aligned. */
static inline __attribute__((noinline)) void copy(u8 *to, const u8 *from, u64 size) {
  if (to == from) return;
  for (; size >= 8; size -= 8, to += 8, from += 8) {
    u64 word;
    __builtin_memcpy(&word, from, sizeof word);
    __builtin_memcpy(to, &word, sizeof word);
  }
  for (u64 i = 0; i < size; i++) to[i] = from[i];
}
