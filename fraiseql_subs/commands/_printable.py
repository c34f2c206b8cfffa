"""Text of a server that a terminal may be sent: without its control characters."""

from __future__ import annotations

import json
import re
from typing import Any

_WORDS = 1000


def printable(text: str) -> str:
    """Return a text in one line, with escapes for what is not printable, cut where it is long."""
    text = re.sub(r"\s+", " ", text).strip()
    if len(text) > _WORDS:
        text = f"{text[:_WORDS]}…"
    return "".join(map(_escaped, text))


def printable_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON, with escapes of JSON for what is not printable."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    if text.isprintable():
        return text
    return "".join(each if each == "\n" else _escaped_in_json(each) for each in text)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _escaped_in_json(character: str) -> str:
    if character.isprintable():
        return character
    # Past the basic plane it has two escapes.
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"
