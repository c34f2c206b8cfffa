"""Recognises the kinds of classes that have fields.

Dataclasses, TypedDicts, NamedTuples, pydantic models, attrs classes, msgspec structs.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from typing_extensions import is_typeddict

__all__ = [
    "is_attrs_class",
    "is_model_class",
    "is_named_tuple",
    "is_object_class",
    "is_struct_class",
    "is_typeddict",
    "names_of",
]


def is_attrs_class(cls: Any) -> bool:
    """Whether `cls` is an attrs class."""
    return isinstance(cls, type) and isinstance(getattr(cls, "__attrs_attrs__", None), tuple)


def is_struct_class(cls: Any) -> bool:
    """Whether `cls` is a msgspec struct."""
    return isinstance(cls, type) and isinstance(getattr(cls, "__struct_fields__", None), tuple)


def is_model_class(cls: Any) -> bool:
    """Whether `cls` is a pydantic model; never imports pydantic."""
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None
        and isinstance(cls, type)
        and issubclass(cls, pydantic.BaseModel)
        and cls is not pydantic.BaseModel
    )


def is_named_tuple(cls: Any) -> bool:
    """Whether `cls` is a `typing.NamedTuple`, whose fields have annotations."""
    if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_field_defaults")):
        return False
    fields: tuple[str, ...] = getattr(cls, "_fields", ())
    return set(fields) <= {name for base in cls.__mro__ for name in annotated(base)}


def annotated(cls: Any) -> dict[str, Any]:
    """Return the annotations that a class itself declares, unresolved."""
    # Python 3.14 creates them at their first use.
    return vars(cls).get("__annotations__") or inspect.get_annotations(cls)


def names_of(declared: Mapping[str, Any] | type[Any]) -> list[str]:
    """Return the keys of a dict, or the names that a class and its bases annotate, unresolved."""
    if isinstance(declared, type):
        return [name for base in declared.__mro__ for name in annotated(base)]
    return [*declared]


def is_object_class(cls: Any) -> bool:
    """Whether `cls` becomes a GraphQL object or input object."""
    return is_typeddict(cls) or (
        isinstance(cls, type)
        and (
            dataclasses.is_dataclass(cls)
            or is_model_class(cls)
            or is_attrs_class(cls)
            or is_struct_class(cls)
            or is_named_tuple(cls)
        )
    )
