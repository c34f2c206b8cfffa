"""A formatter that writes log records as JSON.

The names of the events, and the attributes of their records, are in the reference of logs.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from ._log_record import STANDARD, current_trace

__all__ = ["JSONFormatter"]

_KNOWN = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys()
    | {"message", "asctime", "taskName", "event_name", *STANDARD}
)
"""Attributes that are not those of an application."""


class JSONFormatter(logging.Formatter):
    """Formats each record as one line of JSON, also those of other loggers.

    For `logging.config.dictConfig`: `{"()": "fraiseql_subs.logs.JSONFormatter"}`.

    An object has `time` (UTC, as in RFC 3339), `level`, `logger`, `message`, `event_name`, and
    `connection`, `operation`, `field`, `event`, `user`, `tenant` and `trace`, which are null where
    there is no value. `fields` has the others of this package, and `extra` what an application has
    passed as `extra=`. A record with an exception has `exception`, its traceback.

    Args:
        static: Members of each object, such as `{"service": "orders"}`.
    """

    def __init__(self, *, static: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._static = dict(static or {})

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; values without JSON are written as text."""
        attributes = vars(record)
        written: dict[str, Any] = {
            **self._static,
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "event_name": attributes.get("event_name"),
            **{name: attributes.get(name) for name in STANDARD},
        }
        extra = {name: value for name, value in attributes.items() if name not in _KNOWN}
        fields: Any = None
        if "event_name" in attributes:
            # A record of this package.
            fields = extra.pop("fields", {})
            own = {name: value for name, value in fields.items() if name not in STANDARD}
            if own:
                written["fields"] = own
        elif written["trace"] is None:
            written["trace"] = current_trace()
        if extra:
            written["extra"] = extra
        if record.exc_info:
            written["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            written["exception"] = record.exc_text
        if record.stack_info:
            written["stack"] = self.formatStack(record.stack_info)
        try:
            return json.dumps(written, default=_text, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            # NaN, keys that are no texts, or objects that contain themselves.
            written["fields"], written["extra"] = _text(fields), _text(extra)
            return json.dumps({name: _plain(value) for name, value in written.items()})


def _time(created: float) -> str:
    time = datetime.fromtimestamp(created, timezone.utc)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    """Return the message; without its arguments, if these do not fit it or have no text."""
    try:
        return record.getMessage()
    except Exception:
        return _text(record.msg)


def _plain(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _text(value)


def _text(value: object) -> str:
    """Return the text of what has no JSON; a `repr` of the application may raise."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
