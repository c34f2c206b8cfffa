"""The data of an event whose publisher gave an object instead of a dict."""

from __future__ import annotations

from typing import Any


class TypedData(dict[str, Any]):
    """A dict that knows the GraphQL type of the object it was made of.

    It has the fields of the object and nothing else. A resolver that returns it for an interface or
    a union need not say which type it is; a copy is a plain dict.
    """

    __slots__ = ("type_name",)

    type_name: str
