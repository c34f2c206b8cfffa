"""Checks GraphQL names, and converts Python names to them."""

from __future__ import annotations

import re

from fraiseql_subs.errors import SchemaError

_VALUES_NO_ENUM_MAY_HAVE = frozenset({"true", "false", "null"})

_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


def is_name(text: object) -> bool:
    """Whether `text` is a name that a GraphQL schema may define.

    Names that begin with two underscores belong to introspection.
    """
    is_spelled = isinstance(text, str) and _NAME.fullmatch(text) is not None
    return is_spelled and not str(text).startswith("__")


def is_enum_value(text: str) -> bool:
    """Whether `text` may be a value of a GraphQL enum."""
    return is_name(text) and text not in _VALUES_NO_ENUM_MAY_HAVE


def check_name(text: str, where: str, remedy: str) -> str:
    """Return `text`.

    Raises:
        SchemaError: It is not a GraphQL name, or begins with two underscores.
    """
    if is_name(text):
        return text
    raise SchemaError(
        f"{where}: {text!r} is not a GraphQL name (letters, digits and `_`; it begins with "
        f"neither a digit nor `__`): {remedy}"
    )


def camel_case(name: str) -> str:
    """Convert a Python name to a GraphQL name: `user_id` becomes `userId`.

    Leading underscores stay; a trailing one, as in `class_`, is removed. A name in camelCase is
    unchanged.
    """
    body = name.lstrip("_")
    first, *rest = [part for part in body.split("_") if part] or [""]
    return name[: len(name) - len(body)] + first + "".join(p[0].upper() + p[1:] for p in rest)
