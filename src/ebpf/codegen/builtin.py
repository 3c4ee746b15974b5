"""Builtin functions of CPython that are machine code: how they are made, and what they call (support/python.c)."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from typing import Any

from ebpf.codegen.image import PYTHON

_FUNCTIONS = (
    "PyBytes_AsString",
    "PyObject_GetBuffer",
    "PyBuffer_Release",
    "PyLong_FromUnsignedLongLong",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyObject_Call",
    "Py_IncRef",
    "Py_DecRef",
    "PyErr_ExceptionMatches",
    "PyErr_Clear",
    "PyErr_Fetch",
    "PyErr_Restore",
    "PyThread_get_thread_ident",
)
"""Members of struct python: functions of the stable ABI, PyObject_GetBuffer and PyBuffer_Release since 3.11."""
_VARIABLES = ("PyExc_TypeError", "PyExc_BufferError", "PyExc_ValueError")
_ONE_ARGUMENT = 0x0008
"""METH_O."""


def _addresses() -> array[int]:
    api = ctypes.pythonapi
    functions = (ctypes.cast(getattr(api, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS)
    variables = (ctypes.addressof(ctypes.c_void_p.in_dll(api, name)) for name in _VARIABLES)
    return array("Q", [*functions, *variables])


assert len(PYTHON) == len(_FUNCTIONS) + len(_VARIABLES)
PYTHON[:] = _addresses()


class _Definition(ctypes.Structure):
    """struct PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def obstacle() -> str | None:
    """Return why machine code can't be a builtin here, None if it can."""
    import sysconfig

    # Between two calls of CPython the code counts on nobody else running: that is what the GIL promises.
    return "this Python has no GIL" if sysconfig.get_config_var("Py_GIL_DISABLED") else None


class Owner(bytes):
    """What a builtin made here has as its `__self__`: eight bytes, the address that its code begins with.

    Its attributes keep alive whatever the code needs: a builtin has no other place for that.
    """

    definition: _Definition
    kept: Any


def make_builtin(
    name: str, code: int, state: int, *, doc: str, owner: type[Owner] = Owner, keep: Any
) -> Callable[..., Any]:
    """Return a builtin that takes one argument: machine code at `code`, for the structure at `state`.

    `keep` lives as long as the builtin. `owner` names it in its repr.
    """
    me = owner(state.to_bytes(8, "little"))
    me.kept = keep
    me.definition = _Definition(name.encode(), code, _ONE_ARGUMENT, doc.encode())
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    made: Callable[..., Any] = new(ctypes.addressof(me.definition), me, None)
    return made
