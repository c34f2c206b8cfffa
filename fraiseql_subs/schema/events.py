"""Reads the data of an event as the class of `Event[Order]`.

Nothing has checked the JSON of an event for its class, so each value is checked here as far as its
class asks for it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from fraiseql_subs.schema.annotations import read_hint
from fraiseql_subs.schema.hints import is_nullable
from fraiseql_subs.schema.inputs import Converter, event_converter
from fraiseql_subs.schema.json_values import FAULTS, array, json_object

_OBJECTS = ((dict, Mapping), ((), (str, Any), (str, object)), json_object)
_LISTS = ((list, Sequence), ((), (Any,), (object,)), array)
"""Annotations that say no more of the data than that they are an object, or a list."""


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
    if of in (Any, object):
        return None
    convert, nullable = _check_of_json(of), False
    if convert is None:
        where = f"{place}, Event[...]"
        hint = read_hint(of, where)
        convert, nullable = event_converter(hint, where), is_nullable(hint)
    name = getattr(of, "__name__", str(of)) if get_origin(of) is None else str(of)

    def read(data: Any) -> Any:
        if data is None and nullable:
            return None
        try:
            return convert(data)
        except FAULTS as error:
            raise ValueError(f"the data of the event are no {name}: {error}") from error

    return read


def _check_of_json(of: Any) -> Converter | None:
    """Return a check of data that are shared as they are; None: a value is made of them."""
    for classes, arguments, check in (_OBJECTS, _LISTS):
        if (get_origin(of) or of) in classes and get_args(of) in arguments:
            return check
    return None
