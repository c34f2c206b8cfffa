"""Parses dates and times in ISO 8601, equally on all versions of Python.

Python 3.10 accepts only the form of `isoformat`, and later versions accept some malformed texts. So
each text is first converted to that form.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time

_DATE = re.compile(r"(\d{4})-?(?:(\d\d)-?(\d\d)|W(\d\d)(?:-?(\d))?)")
_CLOCK = re.compile(
    r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:[.,](\d+))?)?)?"
    r"(?:([zZ])|([+-])(\d\d)(?:(:?)(\d\d)(?:\9(\d\d)(?:[.,](\d+))?)?)?)?"
)


def parse_date(text: str) -> date:
    """Parse a day, such as `2024-01-31`.

    Raises:
        ValueError: The text is not in this form.
    """
    return date.fromisoformat(_plain_date(text))


def parse_time(text: str) -> time:
    """Parse a time of day, such as `12:00:00`, with or without an offset.

    Raises:
        ValueError: The text is not in this form.
    """
    return time.fromisoformat(_plain_clock(text.removeprefix("T")))


def parse_date_time(text: str) -> datetime:
    """Parse a moment, such as `2024-01-31T12:00:00Z`; a day alone is its beginning.

    Raises:
        ValueError: The text is not in this form.
    """
    match = _DATE.match(text)
    if match is None:
        raise ValueError(text)
    day, clock = _plain_date(match[0]), text[match.end() :]
    # Any one character separates them.
    return datetime.fromisoformat(f"{day}T{_plain_clock(clock[1:])}" if clock else day)


def _plain_date(text: str) -> str:
    """Convert a day, of a month or of a week, to the form of `date.isoformat`.

    Raises:
        ValueError: The text is not in this form.
    """
    match = _DATE.fullmatch(text)
    if match is None or not _is_even(match[0]):
        raise ValueError(text)
    year, month, day, week, weekday = match.groups()
    if week is None:
        return f"{year}-{month}-{day}"
    return date.fromisocalendar(int(year), int(week), int(weekday or 1)).isoformat()


def _is_even(text: str) -> bool:
    """Whether either all or none of the parts are separated by hyphens."""
    parts = 2 if "W" not in text or len(text.replace("-", "")) == 8 else 1
    return text.count("-") in (0, parts)


def _plain_clock(text: str) -> str:
    """Convert a time of day to the form of `time.isoformat`.

    Raises:
        ValueError: The text is not in this form.
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hour, _, minute, second, part, zulu, sign, off_hour, _, off_minute, off_second, off_part = (
        match.groups()
    )
    clock = f"{hour}:{minute or '00'}:{second or '00'}{_fraction(part)}"
    if zulu:
        return f"{clock}+00:00"
    if not sign:
        return clock
    offset = f"{sign}{off_hour}:{off_minute or '00'}"
    return (
        f"{clock}{offset}:{off_second or '00'}{_fraction(off_part)}"
        if off_second
        else (f"{clock}{offset}")
    )


def _fraction(digits: str | None) -> str:
    """Return a fraction of a second with six digits; further digits are cut off, as in Python."""
    return f".{digits[:6]:0<6}" if digits else ""
