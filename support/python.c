/* A program as a builtin function of CPython: f(buffer) runs it over the buffer, where it lies. Only functions of the
   stable ABI are called, by addresses that the host takes from its own process; no object is looked into. */
#include "lane.h"

/* What is called of CPython, in the order of src/ebpf/codegen/builtin.py. Objects are `void *`. */
struct buffer;
struct python {
  const u8 *(ENTRY *bytes_as_string)(void *object);
  int (ENTRY *get_buffer)(void *object, struct buffer *view, int flags);
  void (ENTRY *release_buffer)(struct buffer *view);
  void *(ENTRY *from_unsigned)(u64 value);
  void *(ENTRY *new_tuple)(s64 size);
  int (ENTRY *set_item)(void *tuple, s64 index, void *stolen);
  void *(ENTRY *call)(void *callable, void *arguments, void *keywords);
  void (ENTRY *retain)(void *object);
  void (ENTRY *release)(void *object);
  int (ENTRY *raised)(void *type);
  void (ENTRY *clear)(void);
  void (ENTRY *take_error)(void **type, void **value, void **trace);
  void (ENTRY *give_error_back)(void *type, void *value, void *trace);
  u32 (ENTRY *thread)(void); /* an unsigned long, which has 32 bits on Windows; they are enough to know oneself */
  void *const *type_error; /* where the variables are that hold the classes */
  void *const *buffer_error;
  void *const *value_error;
};

/* Address of a struct python. The host writes it before the code becomes executable; its checksum is of 0. */
__attribute__((section(".rodata.python"), visibility("hidden"))) const volatile u64 ebpf_python = 0;

/* Py_buffer, part of the stable ABI since 3.11. */
struct buffer {
  u8 *data;
  void *owner;
  s64 length;
  u64 rest[7];
};
enum { WRITABLE_BUFFER = 1 };

/* What says whether a run may begin here without asking: all 0. */
struct gate {
  u64 owned;      /* virtual CPUs that have an owner */
  u64 statistics; /* run times are counted */
  u64 closed;     /* the kernel is */
  u64 claimed;    /* the claim of a run that began here and is the host's to finish: virtual CPU 0 is its own */
  u64 claimant;   /* the thread of the last claim, its lower 32 bits */
  u64 program;    /* what it runs, a number of the host's */
};

/* Whose the lane is. The host makes it IDLE again, once the lane is ready for another run. */
enum busy { IDLE, HANDED_OVER, TAKEN };

/* One function. The bytes of its `self` are the address of this. */
struct function {
  struct lane *lane;
  struct gate *gate;
  const u64 *closed; /* the program is, where not 0 */
  u64 busy;          /* enum busy */
  void *elsewhere;   /* callable(buffer): runs the program in another way, and says what is wrong */
  void *go_on;       /* callable(stop, address, length): finishes the run that native code has begun */
  void *wake;        /* callable(): wakes the readers of rings */
  u64 program;       /* a number of the host's */
};

static int open(const struct function *f) {
  const struct gate *gate = f->gate;
  return !(gate->owned | gate->statistics | gate->closed | gate->claimed | *f->closed | f->busy);
}

static void *call(const struct python *py, void *callable, void *arguments) {
  if (!arguments) return 0;
  void *result = py->call(callable, arguments, 0);
  py->release(arguments);
  return result;
}

RARE static __attribute__((noinline)) void *
run_elsewhere(const struct python *py, const struct function *f, void *packet) {
  void *arguments = py->new_tuple(1);
  if (arguments) {
    py->retain(packet);
    py->set_item(arguments, 0, packet);
  }
  return call(py, f->elsewhere, arguments);
}

/* Keep other threads from virtual CPU 0, and this one from entering the program again. */
static void close_gate(const struct function *f, u64 claim) {
  f->gate->claimant = ((const struct python *)ebpf_python)->thread();
  f->gate->program = f->program;
  f->gate->claimed = claim;
}

/* Give up the run that the host was to finish, but did not begin to. */
RARE static void abandon(struct function *f) {
  struct machine *m = &f->lane->machine;
  while (m->depth) forget(m, m->numbers[--m->depth] << 32);
  leave_epoch(f->lane);
  if (m->locked) release_spin_lock(m);
  m->r[2] = 0;
  for (int i = 0; i < MAX_RECORDS; i++) {
    m->r[1] = m->records[i].number << 32;
    ring_commit(m, RECORD_DISCARDED);
  }
  m->status = 0; /* not every place has a record */
  f->busy = IDLE;
}

/* Wake the readers of rings, where one waits; 0 where that has raised. */
static int wake(const struct python *py, const struct function *f) {
  if (!f->lane->machine.due) return 1;
  void *result = call(py, f->wake, py->new_tuple(0));
  if (result) py->release(result);
  return result != 0;
}

/* The same while an exception is raised, which stays. */
RARE static void wake_in_spite(const struct python *py, const struct function *f) {
  void *type, *value, *trace;
  py->take_error(&type, &value, &trace);
  if (!wake(py, f)) py->clear();
  py->give_error_back(type, value, trace);
}

RARE static __attribute__((noinline)) void *
go_on(const struct python *py, struct function *f, u64 stop, const struct buffer *view) {
  const u64 facts[] = {stop, (u64)view->data, (u64)view->length};
  const u64 claim = (u64)facts; /* no other thread has the same */
  f->busy = HANDED_OVER;
  close_gate(f, claim);
  void *arguments = py->new_tuple(3);
  for (int i = 0; arguments && i < 3; i++) {
    void *number = py->from_unsigned(facts[i]);
    if (number) {
      py->set_item(arguments, i, number);
    } else {
      py->release(arguments);
      arguments = 0;
    }
  }
  void *result = call(py, f->go_on, arguments);
  if (f->gate->claimed != claim) return result; /* the host has taken it; others may have begun since */
  f->gate->claimed = 0;
  if (f->busy == HANDED_OVER) {
    f->lane->refuel = 0; /* nobody answers any more where an exception was the answer; the host finds that out */
    abandon(f);
    wake_in_spite(py, f);
  }
  return result;
}

/* Python code is about to run in the middle of a run, on this thread and on others: keep them from the lane and from
   virtual CPU 0 until the run has ended. */
static void claim(struct function *f) {
  f->busy = TAKEN;
  close_gate(f, (u64)f);
}

static void end_claim(struct function *f) {
  f->gate->claimed = 0;
  f->busy = IDLE;
}

/* A builtin with one argument (METH_O). */
ENTRY void *ebpf_function(void *self, void *packet) {
  const struct python *py = (const struct python *)ebpf_python;
  struct function *f = *(struct function *const *)py->bytes_as_string(self);
  struct buffer view;
  if (!open(f)) return run_elsewhere(py, f, packet);
  if (py->get_buffer(packet, &view, WRITABLE_BUFFER)) {
    if (!py->raised(*py->type_error) && !py->raised(*py->buffer_error) && !py->raised(*py->value_error)) return 0;
    py->clear();
    return run_elsewhere(py, f, packet);
  }
  void *result;
  /* The buffer's owner may have run code of its own. From here to the end of the run nobody else does. */
  u64 stop = open(f) ? run_over(f->lane, view.data, (u64)view.length) : STOP_REFUSED;
  if (!stop) {
    leave_epoch(f->lane);
    if (f->busy) end_claim(f);
    u32 returned = (u32)f->lane->machine.r[0]; /* another thread may run while readers are woken */
    result = wake(py, f) ? py->from_unsigned(returned) : 0;
  } else if (stop != STOP_REFUSED) {
    result = go_on(py, f, stop, &view);
  } else {
    py->release_buffer(&view);
    return run_elsewhere(py, f, packet);
  }
  py->release_buffer(&view);
  return result;
}

_Static_assert(sizeof(struct buffer) == 80, "Py_buffer");
_Static_assert(sizeof(struct function) == 64, "function");
_Static_assert(sizeof(struct gate) == 48, "gate");
