"""Fields that a class computes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import typing_extensions

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.generics import ancestors, local_names, substitute
from fraiseql_subs.schema.hints import ObjectHint

_T = TypeVar("_T")

_ATTRIBUTE = "__graphql_computed__"

if TYPE_CHECKING:

    class _Property(property, Generic[_T]):
        @overload  # type: ignore[override]
        def __get__(self, instance: None, owner: type, /) -> property: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None, /) -> _T: ...
        def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...

else:

    class _Property(property):
        def __class_getitem__(cls, item: Any) -> Any:
            return cls


class ComputedField(_Property[_T]):
    """A property that is a field of the GraphQL type; created by `computed_field`."""

    def __set_name__(self, owner: Any, name: str) -> None:
        # Stored in the class, because the core reads this list for each published object.
        own = vars(owner).get(_ATTRIBUTE, ())
        type.__setattr__(owner, _ATTRIBUTE, tuple(dict.fromkeys([*own, name])))
        source = getattr(self.fget, "__computed__", None)
        if isinstance(source, cached_property):
            source.__set_name__(owner, name)

    @property
    def _function(self) -> Callable[..., Any]:
        source: Any = getattr(self.fget, "__computed__", self.fget)
        function: Callable[..., Any] = getattr(source, "func", source)
        return function

    @property
    def annotation(self) -> Any:
        """The unresolved return annotation; `MISSING` without one."""
        annotations = getattr(inspect.unwrap(self._function), "__annotations__", {})
        return annotations.get("return", dataclasses.MISSING)

    @property
    def deprecation(self) -> str | None:
        """Reason of the deprecation (PEP 702); None: not deprecated."""
        return getattr(self._function, "__deprecated__", None)

    def returns(self, hint: ObjectHint) -> Any:
        """Return the resolved return annotation; `MISSING` without one.

        Raises:
            AttributeError, NameError, SyntaxError, TypeError: It cannot be resolved.
        """
        if self.annotation is dataclasses.MISSING:
            return self.annotation
        owners = ancestors(hint.cls, hint.arguments)
        own = (pair for pair in owners if self in vars(pair[0]).values())
        owner, values = next(own, (hint.cls, {}))
        holder = SimpleNamespace(__annotations__={"it": self.annotation})
        namespace = inspect.unwrap(self._function).__globals__
        names = local_names(owner)
        hints = typing_extensions.get_type_hints(holder, namespace, names, include_extras=True)
        return substitute(hints["it"], values)


@overload
def computed_field(source: Callable[[Any], _T], /) -> ComputedField[_T]: ...
@overload
def computed_field(source: cached_property[_T], /) -> ComputedField[_T]: ...
@overload
def computed_field(source: property, /) -> ComputedField[Any]: ...
def computed_field(source: Any, /) -> Any:
    """Make a method, a property or a `cached_property` of a class a field of its GraphQL type.

    ```python
    @dataclass
    class Order:
        quantity: int
        unit_price: Decimal

        @computed_field
        def total(self) -> Decimal:
            return self.quantity * self.unit_price
    ```

    It is read like a property, `order.total`. Its return annotation is the type of the field, its
    docstring the description. It is part of the data of a published object, and not a field of the
    input object. Other properties are not part of the schema. A pydantic model may use pydantic's
    own `computed_field`.

    Args:
        source: `def` with only `self`, a property, or a `cached_property`.

    Raises:
        SchemaError: It is something else, is `async`, or has further parameters.
    """
    function = source
    if isinstance(source, property):
        function = source.fget
    elif isinstance(source, cached_property):
        function = source.func
    where = f"@computed_field on {getattr(function, '__qualname__', repr(source))}"
    if not inspect.isfunction(function):
        raise SchemaError(f"{where}: put it above a method, a property or a cached_property")
    unwrapped = inspect.unwrap(function)
    if inspect.iscoroutinefunction(unwrapped) or inspect.isasyncgenfunction(unwrapped):
        raise SchemaError(
            f"{where} is `async`, and values are read without waiting: await it in the resolver, "
            "and return its value as a field"
        )
    if len(inspect.signature(function).parameters) != 1:
        raise SchemaError(
            f"{where}: it has parameters beside `self`, but a field of an object has no arguments: "
            "make them arguments of the subscription"
        )
    if isinstance(source, property):
        return ComputedField(source.fget, source.fset, source.fdel, source.__doc__)
    if isinstance(source, cached_property):
        return ComputedField(_reader(source), doc=source.__doc__)
    return ComputedField(source)


def _reader(cached: cached_property[Any]) -> Callable[[Any], Any]:
    def read(instance: Any) -> Any:
        return cached.__get__(instance, type(instance))

    read.__computed__ = cached  # type: ignore[attr-defined]
    return read


def computed_names(cls: Any) -> list[str]:
    """Return the names of the computed fields of a class, inherited ones first."""
    owners = reversed(getattr(cls, "__mro__", ()))
    return list(dict.fromkeys(name for owner in owners for name in vars(owner).get(_ATTRIBUTE, ())))


def computed_fields(cls: Any) -> dict[str, ComputedField[Any]]:
    """Return the computed fields of a class by name, inherited ones first.

    A computed field that a subclass overrides with a plain property keeps its type.

    Raises:
        SchemaError: The decorators of a field are in the wrong order.
    """
    fields: dict[str, ComputedField[Any]] = {}
    for owner in reversed(getattr(cls, "__mro__", ())):
        for name, value in vars(owner).items():
            if isinstance(value, property) and isinstance(value.fget, ComputedField):
                raise SchemaError(
                    f"{owner.__qualname__}.{name}: @property stands above @computed_field, which "
                    "makes a property already: leave @property out"
                )
            if isinstance(value, ComputedField):
                fields[name] = value
    return fields
