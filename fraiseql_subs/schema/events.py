"""Reads the data of an event as the class of `Event[Order]`.

Nothing has checked the JSON of an event for its class, so each value is checked here as far as its
class asks for it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from fraiseql_subs.errors import SchemaError
from fraiseql_subs.schema.annotations import read_hint
from fraiseql_subs.schema.hints import Hint, ListHint, OptionalHint, UnionHint, is_nullable
from fraiseql_subs.schema.inputs import Converter, converter

_PLAIN = (dict, Mapping, list, typing.Sequence, Any, object)
"""Types that say no more of the data than that they are JSON."""


def reader_of(annotation: Any, place: str = "Event") -> Converter | None:
    """Return a function that makes the value of `event.data`; None: the data are it as they are.

    Args:
        annotation: `Event[Order]`; without a class there is no reader.
        place: The parameter, for errors.

    Raises:
        SchemaError: No value of this type can be made from JSON.
    """
    arguments = get_args(annotation)
    if not arguments or isinstance(arguments[0], typing.TypeVar):
        return None
    of = arguments[0]
    if of in _PLAIN or (get_origin(of) in _PLAIN and not _has_classes(of)):
        return None
    hint = read_hint(of, f"{place}, Event[...]")
    _refuse_unions(hint, place)
    convert = converter(hint, of_event=True)
    if convert is None:
        return None
    name, nullable = getattr(of, "__name__", str(of)), is_nullable(hint)

    def read(data: Any) -> Any:
        if data is None and nullable:
            return None
        try:
            return convert(data)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"the data of the event are no {name}: {error}") from error

    return read


def _has_classes(annotation: Any) -> bool:
    """Whether a list or mapping is said to have items that are not plain JSON."""
    plain = (*_PLAIN, str, int, float, bool, None, type(None))
    return any(
        not (each in plain or (get_args(each) and not _has_classes(each)))
        for each in get_args(annotation)
    )


def _refuse_unions(hint: Hint, place: str) -> None:
    while isinstance(hint, OptionalHint | ListHint):
        hint = hint.of if isinstance(hint, OptionalHint) else hint.item
    if isinstance(hint, UnionHint):
        raise SchemaError(
            f"{place}: the data of an event do not say which member of a union they are: annotate "
            "`Event`, and make the object in the resolver"
        )
