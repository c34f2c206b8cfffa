"""Kinds of classes that have fields: dataclasses, TypedDicts, models, attrs classes, structs."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from typing_extensions import is_typeddict

__all__ = [
    "is_attrs_class",
    "is_model_class",
    "is_object_class",
    "is_struct_class",
    "is_typeddict",
]


def is_attrs_class(cls: Any) -> bool:
    """Tell whether `cls` is made by attrs."""
    return isinstance(cls, type) and isinstance(getattr(cls, "__attrs_attrs__", None), tuple)


def is_struct_class(cls: Any) -> bool:
    """Tell whether `cls` is a msgspec struct."""
    return isinstance(cls, type) and isinstance(getattr(cls, "__struct_fields__", None), tuple)


def is_model_class(cls: Any) -> bool:
    """Tell whether `cls` is a pydantic model. Never imports pydantic: who has a model, has it."""
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None
        and isinstance(cls, type)
        and issubclass(cls, pydantic.BaseModel)
        and cls is not pydantic.BaseModel
    )


def is_object_class(cls: Any) -> bool:
    """Tell whether `cls` becomes a GraphQL object or input object."""
    return is_typeddict(cls) or (
        isinstance(cls, type)
        and (
            dataclasses.is_dataclass(cls)
            or is_model_class(cls)
            or is_attrs_class(cls)
            or is_struct_class(cls)
        )
    )
