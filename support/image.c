/* The image of the support library, as one translation unit. `ebpf_layout` is what the host compares before it runs it. */
#include "decode.c"
#include "map_hash.c"
#include "map_trie.c"
#include "map_queue.c"
#include "map_bloom.c"
#include "map_ring.c"
#include "helpers.c"
#include "interp.c"
#include "calls.c"
#include "batch.c"
#include "python.c"

const u32 ebpf_layout[] = {ABI_VERSION,          sizeof(struct machine), sizeof(struct frame), sizeof(struct op),
                           sizeof(struct code), sizeof(struct region),  STACK_SIZE,           MAX_FRAMES,
                           sizeof(struct lane), sizeof(struct function), sizeof(struct gate),
                           sizeof(struct values), sizeof(struct map), sizeof(struct random)};
const u32 ebpf_layout_size = sizeof ebpf_layout / sizeof *ebpf_layout;
