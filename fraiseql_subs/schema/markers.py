"""What `typing.Annotated` can say of a GraphQL type, argument or field.

A description is said with `typing_extensions.Doc`.
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
        serialize: Makes of a value what has a JSON form; None: the value has one. Asked when an
            object is published whose class declares the scalar, for the fields that have it, and
            for what resolvers return. What it has made of a published object is JSON, and it is not
            asked for that again: `event.data` has the JSON.
        parse: Makes a value of coerced JSON, for arguments; a `ValueError` refuses the operation
            with its text. None: the JSON value is the argument.
        description: Text for the schema.
        specified_by: URL of its specification, for `@specifiedBy`.

    Raises:
        ConfigurationError: The name is that of a built-in scalar or no GraphQL name, or a function
            cannot be called with one value.
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
                f"Scalar({self.name!r}): give it a GraphQL name other than those of the built-in "
                "scalars, such as `Base64`"
            )


def check_scalars(scalars: list[Any]) -> list[Scalar]:
    """Return the scalars that a manager is given.

    Raises:
        ConfigurationError: One is no `Scalar`.
    """
    for scalar in scalars:
        if not isinstance(scalar, Scalar):
            raise ConfigurationError(
                f"scalars holds {scalar!r}: give Scalar(...), such as"
                ' scalars=[Scalar("Base64", serialize=...)]'
            )
    return scalars


@dataclass(frozen=True, slots=True)
class Name:
    """The GraphQL name of an argument or field: `Annotated[int, Name("userID")]`.

    Raises:
        ConfigurationError: It is no GraphQL name.
    """

    name: str

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and is_name(self.name)):
            raise ConfigurationError(
                f"Name({self.name!r}): give a GraphQL name (letters, digits and `_`, no digit "
                "first, not `__` first)"
            )


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Marks an argument or field: `Annotated[int, Deprecated("use total")]`.

    Raises:
        ConfigurationError: The reason is no text.
    """

    reason: str

    def __post_init__(self) -> None:
        _check_text("Deprecated.reason", self.reason)


def _check_text(setting: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{setting} is {value!r}: give a text")


def marker(annotation: Any, kind: type) -> Any:
    """Return the first marker of a kind in `Annotated[...]`; None without one."""
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, kind):
            return extra
    return None
