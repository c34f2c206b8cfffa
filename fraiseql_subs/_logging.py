"""Writes the records of the compiled core to Python's loggers; only the core calls it.

They are written in an empty context. The one of the event loop's turn is that of another task, so a
record would have the trace of that task, and whatever else the application keeps there.
"""

from __future__ import annotations

import contextvars
import logging

from ._faults import faults
from ._log_record import OCCURRENCE
from ._records import records

_CRATES = {"bus", "graphql", "protocol", "python", "runtime", "security", "server", "_core"}
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "ERROR": logging.ERROR}


def are_debugged(names: tuple[str, ...]) -> tuple[bool, ...]:
    """Return of each logger whether it writes records of level DEBUG."""
    return tuple(logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in names)


def write(
    level: str, target: str, event: str, message: str, fields: dict[str, str], count: int
) -> None:
    """Write one record; a repeated error is counted instead.

    Args:
        level: `"ERROR"`, `"WARN"`, `"INFO"` or `"DEBUG"`.
        target: The source: a Rust module path, or the name of a logger.
        event: The name of the event in the catalogue.
        message: What happened.
        fields: Structured fields of the record, also available as `record.fields`. Errors that
            differ only in whose they are, or in `detail`, count as the same error.
        count: Number of occurrences (count).
    """
    logger = logging.getLogger(_name(target))
    # Values of clients are quoted, so that they cannot forge another line of the log.
    text = " ".join([message, *(f"{name}={value!r}" for name, value in fields.items())])
    if level != "ERROR":
        # The core bounds the number of these records.
        number = _LEVELS.get(level, logging.WARNING)
        contextvars.Context().run(records.emit, logger, number, text, event=event, fields=fields)
        return
    place = tuple(item for item in fields.items() if item[0] not in OCCURRENCE)
    key = (target, message, place)
    contextvars.Context().run(
        faults.report, key, logger, logging.ERROR, text, count=count, event=event, fields=fields
    )


def write_count(
    level: str, target: str, event: str, message: str, check: str | None, count: int
) -> None:
    """Write the number of records of one kind that were not written.

    Args:
        level: As in `write`.
        target: As in `write`.
        event: As in `write`.
        message: The message of the first of them.
        check: The check that denied; None: the records are not denials.
        count: Number of records (count).
    """
    logger = logging.getLogger(_name(target))
    fields = {} if check is None else {"check": check}
    name = message if check is None else f"{message} check={check!r}"
    number = _LEVELS.get(level, logging.WARNING)
    contextvars.Context().run(records.tell, logger, number, name, count, event=event, fields=fields)


def _name(target: str) -> str:
    first, *rest = target.split("::")
    if first.startswith("fraiseql_subs"):
        return first
    return ".".join(["fraiseql_subs", first, *([] if first in _CRATES else rest)])
