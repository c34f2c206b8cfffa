"""Makes the log records of this package, with the name of their event and their fields."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

STANDARD = ("connection", "operation", "field", "event", "user", "tenant", "trace")
"""The attributes of each record, None where there is no value."""

OCCURRENCE = frozenset(STANDARD) - {"field"} | {"detail"}
"""Fields in which two occurrences of the same fault differ."""


def make_record(
    logger: logging.Logger,
    level: int,
    event_name: str,
    text: str,
    args: tuple[object, ...],
    *,
    fields: Mapping[str, str] | None = None,
    exc_info: BaseException | None = None,
) -> logging.LogRecord:
    """Make a record with `event_name`, `fields` and the `STANDARD` attributes.

    Not by `extra=`, which raises if a factory of the application has set such an attribute. Its
    value is kept where there is no other.
    """
    fields = dict(fields or {})
    cause = None if exc_info is None else (type(exc_info), exc_info, exc_info.__traceback__)
    # The place in this package would tell readers nothing: the name of the event does.
    record = logger.makeRecord(logger.name, level, __file__, 0, text, args, cause)
    attributes = vars(record)
    attributes["event_name"] = event_name
    attributes["fields"] = fields
    for name in STANDARD:
        value = fields.get(name) or (current_trace() if name == "trace" else None)
        if value is not None or name not in attributes:
            attributes[name] = value
    return record


def current_trace() -> str | None:
    """Return the id of the trace of OpenTelemetry that is current, if it is in use."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
