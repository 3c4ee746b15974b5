"""Classes that are nothing but their fields: `dataclasses` and `NamedTuple` without their part in a cold start.

Importing `dataclasses` imports inspect, ast and tokenize, and each class made by it compiles methods of its own.
`typing.NamedTuple` compiles every annotation of a field and a constructor.
"""

from __future__ import annotations

import collections
from collections import namedtuple
from collections.abc import Callable, Iterable
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

if TYPE_CHECKING:
    import dataclasses
    import inspect
    from typing import NamedTuple as NamedTuple
else:

    class NamedTupleType(type):
        """Metaclass of named tuples: what they annotate becomes elements."""

        def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if bases != (tuple,) and NamedTuple in bases:
                fields = tuple(namespace.get("__annotations__", ()))
                defaults = {field: namespace.pop(field) for field in fields if field in namespace}
                namespace |= zip(fields, _elements(len(fields)), strict=False)
                namespace |= {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
                namespace["__slots__"] = ()
            return super().__new__(mcls, name, bases, namespace)

        @property
        def __signature__(cls) -> inspect.Signature:
            from inspect import Parameter, Signature

            kind, defaults = Parameter.POSITIONAL_OR_KEYWORD, cls._field_defaults
            types = next(base.__annotations__ for base in cls.__mro__ if "_fields" in vars(base))
            return Signature(
                Parameter(name, kind, default=defaults.get(name, Parameter.empty), annotation=types[name])
                for name in cls._fields
            )

    class NamedTuple(tuple, metaclass=NamedTupleType):
        """Base of classes that are named tuples, as that of `typing`; `_called`: by name or with less than all."""

        __slots__ = ()
        _called = False

        def __new__(cls, /, *values: Any, **named: Any) -> Self:
            if named or len(values) != len(cls._fields):
                return _call(cls, values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _make(cls, values: Iterable[Any]) -> Self:
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, got {len(made)} values")
            return made

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, /, **changes: Any) -> Self:
            values = [changes.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
            if changes:
                raise TypeError(f"{type(self).__name__} has no {', '.join(changes)}")
            return tuple.__new__(type(self), values)

        __replace__ = _replace
        """For `copy.replace` (Python 3.13)."""

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)


_elements_made: tuple[Any, ...] = ()
"""What gets each element of a tuple: as `collections.namedtuple` has it where that shows it, else a property."""


def _elements(count: int) -> tuple[Any, ...]:
    global _elements_made
    made = _elements_made
    if len(made) < count:
        make = getattr(collections, "_tuplegetter", None) or (lambda number, doc: property(itemgetter(number), doc=doc))
        more = [make(number, f"Alias for field number {number}") for number in range(len(made), count)]
        made = _elements_made = (*made, *more)  # whole: threads define classes at the same time
    return made


def _call(cls: Any, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Make a named tuple; who calls for more than one in this way gets the constructor that `namedtuple` compiles."""
    fields, given = cls._fields[len(values) :], cls._field_defaults | named
    complete = len(values) <= len(cls._fields) and named.keys() <= set(fields) <= given.keys()
    if complete and not cls._called:
        cls._called = True
        return tuple.__new__(cls, (*values, *(given[field] for field in fields)))
    make: Any = namedtuple  # mypy wants to see names
    made = make(cls.__name__, cls._fields, defaults=cls._field_defaults.values())
    owner = next(base for base in cls.__mro__ if "_fields" in vars(base))
    if "__new__" not in vars(owner):
        owner.__new__ = made.__new__
    return made.__new__(cls, *values, **named)


_REQUIRED = object()


class Field:
    """What a class says about a field of its objects."""

    __slots__ = ("default", "default_factory", "kw_only", "repr", "type")

    def __init__(self, default: Any, default_factory: Callable[[], Any] | None, *, kw_only: bool, repr: bool) -> None:
        self.default, self.default_factory = default, default_factory
        self.kw_only, self.repr = kw_only, repr
        self.type: Any = None


def field(
    *,
    default: Any = _REQUIRED,
    default_factory: Callable[[], Any] | None = None,
    kw_only: bool = False,
    repr: bool = True,
) -> Any:
    """Describe a field, as `dataclasses.field` does."""
    return Field(default, default_factory, kw_only=kw_only, repr=repr)


@dataclass_transform(field_specifiers=(field,))
class PlainType(type):
    """Metaclass of the classes: what they annotate becomes slots."""

    FIELDS: dict[str, Field]
    POSITIONAL: tuple[str, ...]

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> PlainType:
        own = namespace.get("__annotations__", {}) if bases else {}
        fields = {key: _declared(namespace.pop(key, _REQUIRED), annotation) for key, annotation in own.items()}
        namespace["__slots__"] = tuple(fields)
        inherited = {key: value for base in bases for key, value in getattr(base, "FIELDS", {}).items()}
        fields = inherited | fields
        positional = tuple(key for key, value in fields.items() if not value.kw_only)
        namespace |= {"FIELDS": fields, "POSITIONAL": positional, "__match_args__": positional}
        return super().__new__(mcls, name, bases, namespace)

    @property
    def __signature__(cls) -> inspect.Signature:
        import inspect

        return inspect.signature(_as_dataclass(cls))


def _declared(value: Any, annotation: Any) -> Field:
    field = value if isinstance(value, Field) else Field(value, None, kw_only=False, repr=True)
    field.type = annotation
    return field


class _OfDataclass:
    """What a dataclass has, made when asked for: `dataclasses.replace`, pprint and their like take the objects."""

    def __set_name__(self, owner: PlainType, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: PlainType) -> Any:
        return getattr(_as_dataclass(owner), self._name)


@cache
def _as_dataclass(cls: PlainType) -> Any:
    from dataclasses import MISSING, make_dataclass
    from dataclasses import field as describe

    fields = []
    for name, field in cls.FIELDS.items():
        default: Any = MISSING if field.default is _REQUIRED else field.default
        factory: Any = field.default_factory or MISSING
        same: Any = describe(default=default, default_factory=factory, kw_only=field.kw_only, repr=field.repr)
        fields.append((name, field.type, same))
    return make_dataclass(cls.__name__, fields)


class Plain(metaclass=PlainType):
    """Base of the classes. Their objects are dataclasses to all who ask: equal by fields, mutable, without a hash."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]] = _OfDataclass()  # type: ignore[assignment]
    __dataclass_params__ = _OfDataclass()
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *values: Any, **named: Any) -> None:
        cls = type(self)
        if len(values) > len(cls.POSITIONAL):
            raise TypeError(f"{cls.__name__} takes {len(cls.POSITIONAL)} positional arguments, got {len(values)}")
        given = dict(zip(cls.POSITIONAL, values, strict=False))
        for name in named:
            if name in given or name not in cls.FIELDS:
                raise TypeError(f"{cls.__name__} got {'two values for' if name in given else 'unexpected'} {name!r}")
        given |= named
        for name, field in cls.FIELDS.items():
            setattr(self, name, given[name] if name in given else self._default(name, field))

    def _default(self, name: str, field: Field) -> Any:
        if field.default_factory is not None:
            return field.default_factory()
        if field.default is _REQUIRED:
            raise TypeError(f"{type(self).__name__} lacks its argument {name!r}")
        return field.default

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).FIELDS)

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name, field in type(self).FIELDS.items() if field.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _replace(self, **changes: Any) -> Self:
        """Return an object of the same fields but these."""
        return type(self)(**{name: getattr(self, name) for name in type(self).FIELDS} | changes)

    __replace__ = _replace
    """For `copy.replace` (Python 3.13)."""
