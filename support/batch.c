/* Runs of a program that follow each other: the same packet many times, or many packets. What a run sees and leaves is
   what a run of its own would; where the host has to go on, the lane says where it is. */
#include "lane.h"

enum { CONTEXT_REGION = 1, PACKET_REGION = 2 };
enum { CALL_RUN = 1 }; /* in `calls`: the interpreter; its address as such would need a relocation */
enum { RUNS_AN_EPOCH = 16 };
enum { NOT_ASKED = 255 }; /* as `action`, which compiled code changes where it asks the host */

static u32 room(u64 size, u64 bytes) { return size < bytes ? 0 : (u32)(size - bytes + 1); }

static void set_region(struct region *region, u64 first, u8 *data, u64 readable, u64 writable) {
  region->first = first;
  region->data = data;
  for (int i = 0; i < 4; i++) {
    region->read[i] = room(readable, 1ull << i);
    region->write[i] = room(writable, 1ull << i);
  }
}

/* Give map `machine.size` of the program an address, as the host would; 0, or why the host has to do it. */
static u64 give_address(struct lane *lane, u64 why) {
  struct machine *m = &lane->machine;
  u64 index = m->size;
  if (m->code != lane->code || 2 * (m->live + 1) > m->mask + 1) return why;
  struct first_value value = {0, 0, 0};
  if (why == STOP_MAP_VALUE) {
    value = lane->firsts[index];
    if (!value.data) return why;
  }
  u64 number = m->next;
  while (m->table[number & m->mask].first) number++;
  set_region(m->table + (number & m->mask), number << 32, value.data, value.readable, value.writable);
  m->next = number + 1;
  m->live++;
  lane->answered++;
  struct map_ref *ref = m->code->maps + index;
  *(why == STOP_MAP ? &ref->object : &ref->first_value) = number << 32;
  return STOP_EXIT;
}

static void claim(struct function *f);

/* What compiled code asks in a lane: it gets addresses of maps and, from the host, fuel, and goes to the interpreter with
   everything else. */
ENTRY u64 ebpf_answer(struct machine *m, u64 why) {
  struct lane *lane = (struct lane *)m;
  m->status = (why == STOP_MAP || why == STOP_MAP_VALUE) ? give_address(lane, why) : why;
  if (why == STOP_FUEL && lane->refuel) {
    if (lane->function) claim(lane->function);
    lane->refuel(m);
  }
  return m->status;
}

/* Forget the region of an address; maps in native storage have none. */
static void forget(struct machine *m, u64 address) {
  if (address && !(address & VALUE_ADDRESS)) zero((u64 *)(m->table + (address >> 32 & m->mask)), sizeof(struct region) / 8);
}

/* Make everything as it is before the first instruction. */
static void rewind(struct lane *lane) {
  struct machine *m = &lane->machine;
  if (lane->answered) {
    for (u64 i = 0; i < lane->maps; i++) {
      struct map_ref *ref = lane->code->maps + i;
      if (ref->map) continue;
      forget(m, ref->object);
      forget(m, ref->first_value);
      ref->object = ref->first_value = 0;
    }
    lane->answered = 0;
  }
  zero(m->r, REGISTERS);
  m->r[CONTEXT] = lane->argument;
  m->at = 0;
  m->action = ENTER_SEEN; /* enter_epoch sees to it */
  m->code = lane->code;
  m->live = lane->regions;
  m->next = lane->regions + 1;
  m->patience = lane->patience;
  m->redirect.made = 0;
  m->depth = 0;
}

/* Say when the run began; while runs follow each other now and then only, because all processors have to see it before
   anything is looked up, which takes as long as a small run. */
static void enter_epoch(struct lane *lane) {
  if (*lane->epoch && lane->runs++ % RUNS_AN_EPOCH) return;
  __atomic_exchange_n(lane->epoch, __atomic_load_n(lane->now, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
#ifdef __aarch64__
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* loads that follow may overtake the store of its exchange */
#endif
}

static void leave_epoch(struct lane *lane) {
  __atomic_store_n(lane->epoch, 0, __ATOMIC_RELEASE);
}

static u64 has_left_something(const struct machine *m) {
  u64 numbers = m->locked;
  for (int i = 0; i < MAX_RECORDS; i++) numbers |= m->records[i].number;
  return numbers;
}

/* The same after a run of compiled code that has asked for nothing: it changes little. Native helpers that it called had
   their arguments in registers 1 to 5. */
static void rewind_a_little(struct lane *lane) {
  struct machine *m = &lane->machine;
  zero(m->r, 6);
  m->r[CONTEXT] = lane->argument;
  m->next = lane->regions + 1;
  m->patience = lane->patience;
  m->redirect.made = 0;
}

/* Run the program once; 0, or why the host has to go on. */
static u64 run(struct lane *lane) {
  struct machine *m = &lane->machine;
  if (lane->kept) {
    rewind_a_little(lane);
  } else {
    rewind(lane);
    if ((u64)lane->code->entry != m->calls[CALL_RUN]) m->action = NOT_ASKED;
  }
  enter_epoch(lane);
  m->fuel = lane->given = lane->budget < lane->slice ? lane->budget : lane->slice;
  u64 stop = lane->code->entry(m);
  lane->kept = !stop && m->action == NOT_ASKED;
  if (lane->kept && !lane->leaves) return 0;
  while ((stop == STOP_MAP || stop == STOP_MAP_VALUE) && !give_address(lane, stop)) {
    m->action = RESUME;
    stop = ebpf_run(m);
  }
  return !stop && has_left_something(m) ? STOP_LEFT : stop;
}

/* Instructions that the last run took, and what stands for the work around it. */
static u64 spent(const struct lane *lane) { return lane->given - lane->machine.fuel + 16; }

static u32 get32(const u8 *at) {
  u32 value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

static u16 get16(const u8 *at) { return (u16)(at[0] | at[1] << 8); }

/* The addresses of a frame's bytes (struct xdp_buff); the rest of the context does not depend on the packet. */
static void describe_frame(struct lane *lane, u64 first, u64 length) {
  u64 *pointers = lane->fields + 3;
  pointers[0] = pointers[2] = first;
  pointers[1] = first + length;
}

enum {
  ETH_HLEN = 14, LOOPBACK = 1, MULTICAST = 2, OTHER_HOST = 3, PROTOCOL_802_2 = 4 << 8, PROTOCOL_802_3 = 1 << 8,
  PROTOCOL_IP = 0x0008, PROTOCOL_IPV6 = 0xdd86, INET = 2, INET6 = 10, IP_SIZE = 20, IPV6_SIZE = 40, SKB_WORDS = 27
};

/* Offsets in the internal context, in bytes. */
enum {
  LENGTH = 0, PKT_TYPE = 4, PROTOCOL = 16, IFINDEX = 40, FAMILY = 88, REMOTE_IP4 = 92, LOCAL_IP4 = 96, REMOTE_IP6 = 100,
  LOCAL_IP6 = 116, POINTERS = 192
};

static void set32(u8 *fields, u64 offset, u32 value) { __builtin_memcpy(fields + offset, &value, sizeof value); }

/* What eth_type_trans makes of a frame, in network byte order. */
static u32 protocol_of(const u8 *frame, u64 length) {
  u32 number = get16(frame + 12);
  if ((number >> 8 | (number & 0xff) << 8) >= 0x600) return number;
  return length >= 16 && get16(frame + 14) == 0xffff ? PROTOCOL_802_3 : PROTOCOL_802_2;
}

static u32 packet_type(const u8 *frame) {
  if (!get32(frame) && !get16(frame + 4)) return 0;
  return frame[0] & 1 ? MULTICAST : OTHER_HOST;
}

/* The fields of a socket buffer (struct sk_buff) that test runs fill in; 0 where the packet is refused. */
static u64 describe_skb(struct lane *lane, const u8 *frame, u64 length, u64 first) {
  u8 *fields = (u8 *)lane->fields;
  const u8 *network = frame + ETH_HLEN;
  u64 left = length - ETH_HLEN;
  zero(lane->fields, SKB_WORDS);
  u32 protocol = protocol_of(frame, length);
  set32(fields, PKT_TYPE, packet_type(frame));
  set32(fields, PROTOCOL, protocol);
  set32(fields, IFINDEX, LOOPBACK);
  if (protocol == PROTOCOL_IP) {
    if (left < IP_SIZE) return 0;
    set32(fields, FAMILY, INET);
    set32(fields, LOCAL_IP4, get32(network + 12));
    set32(fields, REMOTE_IP4, get32(network + 16));
  } else if (protocol == PROTOCOL_IPV6) {
    if (left < IPV6_SIZE) return 0;
    set32(fields, FAMILY, INET6);
    copy(fields + LOCAL_IP6, network + 8, 16);
    copy(fields + REMOTE_IP6, network + 24, 16);
  }
  u64 seen = length - lane->hidden, *pointers = lane->fields + POINTERS / 8;
  set32(fields, LENGTH, (u32)seen);
  pointers[0] = pointers[2] = first;
  pointers[1] = first + seen;
  return 1;
}

/* Make a packet the program's, where it lies; 0 where it is none that is run here. */
static u64 seat(struct lane *lane, u8 *packet, u64 length) {
  if (length < lane->shortest || length > lane->longest) return 0;
  u64 first = ((u64)PACKET_REGION << 32) + lane->start + lane->hidden, seen = length - lane->hidden;
  if (lane->machine.form == FORM_XDP) describe_frame(lane, first, length);
  else if (!describe_skb(lane, packet, length, first)) return 0;
  set_region(lane->machine.packet, first, packet + lane->hidden, seen, lane->writable ? seen : 0);
  return 1;
}

/* Run the program over a packet, where it lies; 0, or why not or why the host has to go on. */
static u64 run_over(struct lane *lane, u8 *packet, u64 length) {
  if (!seat(lane, packet, length)) return STOP_REFUSED;
  u64 stop = run(lane);
  if (stop) return stop;
  for (u64 i = 0; i < lane->hidden; i++) packet[i] = 0; /* what the kernel pushes back is zero */
  return 0;
}

/* Run over the packets of the batch from `index` on; 0 when they are all done, or why the lane came back. */
ENTRY u64 ebpf_batch(struct lane *lane) {
  struct batch *batch = &lane->batch;
  for (u64 work = 0; batch->index < batch->count; batch->index++) {
    if (work >= lane->slice) return STOP_SLICE;
    u64 start = batch->starts ? batch->starts[batch->index] : batch->position, length = batch->lengths[batch->index];
    if (start > batch->source_size || length > batch->source_size - start) return STOP_REFUSED;
    if (length > batch->room - batch->position) return STOP_REFUSED;
    u8 *packet = batch->out + batch->position;
    copy(packet, batch->source + start, length);
    batch->positions[batch->index] = batch->position;
    u64 stop = run_over(lane, packet, length);
    if (stop) return stop;
    batch->retvals[batch->index] = (u32)lane->machine.r[0];
    batch->position += length;
    work += spent(lane) + length / 16;
  }
  return 0;
}

/* Go on with runs of compiled code that change little, as long as they do; 0, or why the host has to go on. */
static u64 run_on(struct lane *lane, u64 *work) {
  struct machine *m = &lane->machine;
  u64 (ENTRY *entry)(struct machine *) = lane->code->entry;
  u64 given = lane->given = lane->budget < lane->slice ? lane->budget : lane->slice;
  u64 times = lane->times, stop = 0, used = 0;
  u64 most = times < RUNS_AN_EPOCH ? times : RUNS_AN_EPOCH, i = 0;
  enter_epoch(lane);
  while (i < most) {
    rewind_a_little(lane);
    m->fuel = given;
    stop = entry(m);
    if (stop || m->action != NOT_ASKED) break;
    used += given - m->fuel + 16;
    i++;
  }
  *work += used;
  if (!stop && i < most) i++; /* the last one asked for something, and ended all the same */
  lane->times = times - i;
  lane->kept = i == most && m->action == NOT_ASKED;
  return stop;
}

/* Run `times` times over what the host has put into the table of regions; 0, or why the lane came back. */
ENTRY u64 ebpf_repeat(struct lane *lane) {
  for (u64 work = 0; lane->times;) {
    if (work >= lane->slice) return STOP_SLICE;
    u64 stop;
    if (lane->kept && !lane->leaves) {
      stop = run_on(lane, &work);
      if (stop) return stop;
      continue;
    }
    stop = run(lane);
    if (stop) return stop;
    lane->times--;
    work += spent(lane);
  }
  return 0;
}
