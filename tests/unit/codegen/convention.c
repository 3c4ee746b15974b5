/* Lets this process call code of Windows' calling convention, and such code call this process's Python: the image of
   Windows runs here, in everything but the system around it. */
typedef unsigned long long u64;
typedef long long s64;
#define WINDOWS __attribute__((ms_abi))

u64 call1(u64 (WINDOWS *code)(void *), void *argument) { return code(argument); }
u64 call3(u64 (WINDOWS *code)(u64, u64, u64), u64 a, u64 b, u64 c) { return code(a, b, c); }

#define THUNK(result, name, parameters, arguments) \
  result name parameters;                          \
  static WINDOWS result windows_##name parameters { return name arguments; }
#define THUNK_VOID(name, parameters, arguments) \
  void name parameters;                         \
  static WINDOWS void windows_##name parameters { name arguments; }

THUNK(void *, PyBytes_AsString, (void *a), (a))
THUNK(int, PyObject_GetBuffer, (void *a, void *b, int c), (a, b, c))
THUNK_VOID(PyBuffer_Release, (void *a), (a))
THUNK(void *, PyLong_FromUnsignedLongLong, (u64 a), (a))
THUNK(void *, PyTuple_New, (s64 a), (a))
THUNK(int, PyTuple_SetItem, (void *a, s64 b, void *c), (a, b, c))
THUNK(void *, PyObject_Call, (void *a, void *b, void *c), (a, b, c))
THUNK_VOID(Py_IncRef, (void *a), (a))
THUNK_VOID(Py_DecRef, (void *a), (a))
THUNK(int, PyErr_ExceptionMatches, (void *a), (a))
THUNK_VOID(PyErr_Clear, (void), ())
THUNK_VOID(PyErr_Fetch, (void **a, void **b, void **c), (a, b, c))
THUNK_VOID(PyErr_Restore, (void *a, void *b, void *c), (a, b, c))
THUNK(unsigned long, PyThread_get_thread_ident, (void), ())
extern void *PyExc_TypeError, *PyExc_BufferError, *PyExc_ValueError;

/* In the order of struct python. */
enum { PLACES = 17 };
void *table[PLACES];

void fill(void) {
  void *all[] = {windows_PyBytes_AsString, windows_PyObject_GetBuffer, windows_PyBuffer_Release,
                 windows_PyLong_FromUnsignedLongLong, windows_PyTuple_New, windows_PyTuple_SetItem,
                 windows_PyObject_Call, windows_Py_IncRef, windows_Py_DecRef, windows_PyErr_ExceptionMatches,
                 windows_PyErr_Clear, windows_PyErr_Fetch, windows_PyErr_Restore,
                 windows_PyThread_get_thread_ident, &PyExc_TypeError, &PyExc_BufferError, &PyExc_ValueError};
  for (int i = 0; i < PLACES; i++) table[i] = all[i];
}

/* What a builtin of this process has as its code. */
void *(WINDOWS *function)(void *, void *);
void *builtin(void *self, void *argument) { return function(self, argument); }
