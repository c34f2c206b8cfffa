"""Writes the name of a channel with arguments, as the core does for a subscriber.

Not here: the channels of declared subscriptions, which the core fills.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from ._texts import LONE_SURROGATE, has_utf8
from .errors import PublishError

ChannelValue: TypeAlias = "str | int | float | Decimal | datetime | date | time | UUID | enum.Enum"
"""What has a text in the name of a channel."""

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([{}])")


def channel_name(template: str, arguments: Mapping[str, ChannelValue]) -> str:
    """Return the channel in which a template results, for publishing to it.

    It is that of the subscribers with equal arguments:
    `channel_name("orders.{userId}", {"userId": 7})` is `"orders.7"`.

    Args:
        template: What the subscription has as `channel=`.
        arguments: A value for each argument in it, of the type that the argument has: a `Float`
            needs a `float`.

    Raises:
        PublishError: An argument is missing or has no text, the template has a single brace, or a
            text contains what stands between two arguments, and would be another channel.
    """
    parts = _parts(template)
    between = [text for text in parts[2:-1:2] if text]
    filled = [*parts]
    for place in range(1, len(parts), 2):
        filled[place] = _text(template, parts[place], arguments, between)
    return "".join(filled)


def _parts(template: str) -> list[str]:
    """Return texts and names of arguments in turn, a text first and last."""
    parts, end = [""], 0
    for match in _PART.finditer(template):
        parts[-1] += template[end : match.start()]
        end = match.end()
        if match[2]:
            raise PublishError(
                f"channel {template!r} has a single brace: write `{{{{` and `}}}}` for braces"
            )
        if match[1] is None:
            parts[-1] += match[0][0]
        else:
            parts += [match[1], ""]
    parts[-1] += template[end:]
    return parts


def _text(
    template: str, name: str, arguments: Mapping[str, ChannelValue], between: list[str]
) -> str:
    place = f"channel {template!r}, argument {name!r}"
    if name not in arguments:
        raise PublishError(f"{place}: it is missing: pass a value for each argument")
    value = arguments[name]
    text = value_text(value)
    if text is None:
        kind = type(value).__name__
        raise PublishError(
            f"{place} is of type {kind} and has no text: pass a string, a number or another scalar"
        )
    if isinstance(value, str):
        if not has_utf8(text):
            raise PublishError(f"{place}: {LONE_SURROGATE}")
        for separator in between:
            if not isinstance(value, enum.Enum) and separator in text:
                raise PublishError(
                    f"{place} is {text!r} and contains {separator!r}, which ends it in the name of"
                    " the channel: no subscriber may ask for such a value"
                )
    return text


def value_text(value: object) -> str | None:
    """Return the text of an argument in the name of a channel; None: it has none."""
    if isinstance(value, enum.Enum):
        inner = value.value
        return value_text(inner) if isinstance(inner, str | int | float) else value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        # Subclasses may have another form.
        return str.__str__(value) if isinstance(value, str) else int.__repr__(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, datetime):
        return (value if value.utcoffset() is None else value.astimezone(timezone.utc)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else None


def _number(value: float | Decimal) -> str | None:
    if not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return "0" if value == 0 else f"{value.normalize():f}"
    return float.__repr__(value)
