"""The package `ebpf.runtime`: functions that share names with submodules, and import on every system."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest

_IMPORTS = (
    "import ebpf.runtime.linux.call",
    "import ebpf.runtime.embedded",
    "import ebpf.runtime.current",
    "from ebpf.runtime import linux",
    "import ebpf; ebpf.runtime",
)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("order", list(itertools.permutations(_IMPORTS, 2)))
def test_functions_stay_functions_in_every_import_order(order: tuple[str, str]) -> None:
    code = "\n".join(order) + (
        "\nimport sys, types, ebpf.runtime as runtime\n"
        "for name in ('linux', 'embedded', 'current'):\n"
        "    assert isinstance(getattr(runtime, name), types.FunctionType), name\n"
        "from ebpf.runtime.linux.call import bpf\n"
        "from ebpf.runtime import linux, embedded, current\n"
        "assert linux().name == 'linux' and linux() is linux()\n"
        "assert isinstance(sys.modules['ebpf.runtime.linux'], types.ModuleType)\n"
    )
    done = _python(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_module_imports_without_the_modules_of_linux() -> None:
    code = (
        "import sys, pkgutil, importlib, os\n"
        "for name in ('fcntl', 'resource', 'mmap', 'select'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('sysconf', 'register_at_fork', 'uname', 'eventfd'):\n"
        "    delattr(os, name)\n"
        "import ebpf.runtime, ebpf.runtime.attrs\n"
        "import ebpf.runtime.linux.call\n"
        "package = sys.modules['ebpf.runtime.linux']\n"
        "names = [m.name for m in pkgutil.iter_modules(package.__path__, 'ebpf.runtime.linux.')]\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    done = _python(code)
    assert done.stderr == ""
    assert int(done.stdout) >= 10


def test_importing_the_package_loads_no_ctypes() -> None:
    done = _python("import sys, ebpf.runtime; print(sorted({'ctypes', 'mmap', 'select'} & set(sys.modules)))")
    assert (done.stdout, done.stderr) == ("[]\n", "")
