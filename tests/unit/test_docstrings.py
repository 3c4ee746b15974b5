"""What the docstrings of public things promise to say."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from types import ModuleType

import pytest

from ebpf import asm, btf, errors, link, objects, runtime, spec

PACKAGES = (asm, btf, link, objects, runtime, spec)


def public() -> Iterator[tuple[str, object]]:
    """Every public class and function, by its full name."""
    for package in PACKAGES:
        names = getattr(package, "__all__", [name for name, _ in _own(package)])
        for name in names:
            yield f"{package.__name__}.{name}", getattr(package, name)


def _own(module: ModuleType) -> Iterator[tuple[str, object]]:
    return (
        (name, thing)
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
    )


CLASSES = {name: thing for name, thing in public() if inspect.isclass(thing)}
FUNCTIONS = {name: thing for name, thing in public() if inspect.isfunction(thing)}


def text_about(class_: type) -> str:
    """Docstrings of a class and its bases, of the modules that define them and of the packages that show them."""
    ours = [one for one in class_.__mro__ if one.__module__.startswith("ebpf.")]
    modules = [sys.modules[one.__module__] for one in ours]
    modules += [sys.modules[module.__name__.rpartition(".")[0]] for module in modules]
    return "\n".join(one.__doc__ or "" for one in (*ours, *modules))


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_whether_threads_may_share_them(name: str) -> None:
    class_ = CLASSES[name]
    if not issubclass(class_, Enum):
        assert "thread" in text_about(class_).lower()


@pytest.mark.parametrize("name", CLASSES)
def test_members_of_classes_have_docstrings(name: str) -> None:
    class_ = CLASSES[name]
    assert class_.__doc__
    for member, thing in vars(class_).items():
        if isinstance(thing, (property, classmethod, staticmethod)) or inspect.isfunction(thing):
            assert member.startswith("_") or inspect.getdoc(getattr(class_, member)), member


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_docstrings(name: str) -> None:
    assert inspect.getdoc(FUNCTIONS[name])


def test_errors_have_docstrings() -> None:
    assert all(thing.__doc__ for _, thing in _own(errors) if inspect.isclass(thing))
