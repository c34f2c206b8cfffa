"""Markers for `typing.Annotated` on a GraphQL type, argument or field.

A description is a `typing_extensions.Doc`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fraiseql_subs._callables import check_callable
from fraiseql_subs.errors import ConfigurationError
from fraiseql_subs.schema.names import is_name

_BUILT_IN = frozenset({"Int", "Float", "String", "Boolean", "ID"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """A custom scalar: `Base64 = Annotated[bytes, Scalar("Base64", serialize=..., parse=...)]`.

    With a schema in SDL pass it to the manager as `scalars=[...]`.

    Attributes:
        name: GraphQL name.
        serialize: Converts a value to a value with a JSON form; None: the value has one. It is
            called for the return values of resolvers, and, when an object is published, for the
            fields that its class declares with this scalar. `event.data` then has the JSON, for
            which it is not called again.
        parse: Converts coerced JSON to a value, for arguments; a `ValueError` refuses the operation
            with its text. None: the JSON value is the argument.
        description: Text for the schema.
        specified_by: URL of its specification, for `@specifiedBy`.

    Raises:
        ConfigurationError: The name is that of a built-in scalar or not a GraphQL name, or a
            function cannot be called with one value.
    """

    name: str
    serialize: Callable[[Any], Any] | None = None
    parse: Callable[[Any], Any] | None = None
    description: str | None = None
    specified_by: str | None = None

    def __post_init__(self) -> None:
        for function in ("serialize", "parse"):
            if getattr(self, function) is not None:
                place = f"Scalar({self.name!r}).{function}"
                check_callable(place, getattr(self, function), "value")
        for text in ("description", "specified_by"):
            if getattr(self, text) is not None:
                _check_text(f"Scalar({self.name!r}).{text}", getattr(self, text))
        if not isinstance(self.name, str) or self.name in _BUILT_IN or not is_name(self.name):
            raise ConfigurationError(
                f"Scalar({self.name!r}): use a GraphQL name other than those of the built-in "
                "scalars, such as `Base64`"
            )


def check_scalars(scalars: list[Any]) -> list[Scalar]:
    """Return the scalars in the `scalars=` of a manager.

    Raises:
        ConfigurationError: One is not a `Scalar`.
    """
    for scalar in scalars:
        if not isinstance(scalar, Scalar):
            raise ConfigurationError(
                f"scalars holds {scalar!r}: pass Scalar(...), such as"
                ' scalars=[Scalar("Base64", serialize=...)]'
            )
    return scalars


@dataclass(frozen=True, slots=True)
class Name:
    """The GraphQL name of an argument or field: `Annotated[int, Name("userID")]`.

    Raises:
        ConfigurationError: It is not a GraphQL name.
    """

    name: str

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and is_name(self.name)):
            raise ConfigurationError(
                f"Name({self.name!r}): use a GraphQL name (letters, digits and `_`; it "
                "begins with neither a digit nor `__`)"
            )


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Marks an argument or field: `Annotated[int, Deprecated("use total")]`.

    Raises:
        ConfigurationError: The reason is not a string.
    """

    reason: str

    def __post_init__(self) -> None:
        _check_text("Deprecated.reason", self.reason)


def _check_text(setting: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{setting} is {value!r}: pass a string")


def marker(annotation: Any, kind: type) -> Any:
    """Return the first marker of a kind in `Annotated[...]`; None without one."""
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, kind):
            return extra
    return None
