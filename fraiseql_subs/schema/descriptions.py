"""Reads docstrings and annotations as GraphQL descriptions."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

# Sections of a Google style docstring are for Python programmers, not for clients.
_SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Example|Examples|Note|Raises|Returns|Yields):\s*$", re.MULTILINE
)

# The docstring that Python 3.10 sets for every enum without one.
_GENERATED_BY_ENUM = "An enumeration."


def from_docstring(text: str | None) -> str | None:
    """Return the part of a docstring before its first section; None if it is empty."""
    if not text:
        return None
    return _SECTION.split(inspect.cleandoc(text), maxsplit=1)[0].strip() or None


def of_class(cls: type) -> str | None:
    """Return the description of a class: its own docstring, neither inherited nor generated."""
    text = cls.__dict__.get("__doc__")
    if text == _GENERATED_BY_ENUM:
        return None
    if dataclasses.is_dataclass(cls) and text and text.startswith(f"{cls.__name__}("):
        return None
    return from_docstring(text)


def of_annotation(annotation: Any) -> str | None:
    """Return the text of `Annotated[..., Doc("text")]`; None without one."""
    for extra in getattr(annotation, "__metadata__", ()):
        text = getattr(extra, "documentation", None)
        if isinstance(text, str):
            return text
    return None
