"""Writes what the compiled core has to say to Python's loggers; called by it alone."""

from __future__ import annotations

import logging

from ._faults import faults
from ._records import records

_CRATES = {"bus", "graphql", "protocol", "python", "runtime", "security", "server", "_core"}
_LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "ERROR": logging.ERROR}


def write(level: str, target: str, message: str, fields: dict[str, str], count: int) -> None:
    """Write one event; an error that repeats is counted.

    Args:
        level: `"ERROR"`, `"WARN"`, `"INFO"` or `"DEBUG"`.
        target: Where it comes from: a Rust module path, or the name of a logger.
        message: What happened.
        fields: What it happened to, also as `record.fields` for handlers that write structure.
            Errors that differ in `detail` alone are the same one.
        count: How often it happened (count).
    """
    logger = logging.getLogger(_name(target))
    # What clients have sent is quoted, so that it cannot pass for another line.
    text = " ".join([message, *(f"{name}={value!r}" for name, value in fields.items())])
    extra = {"fields": fields}
    if level != "ERROR":
        # How many come here is bounded by the core.
        records.emit(logger, _LEVELS.get(level, logging.WARNING), text, extra=extra)
        return
    place = tuple(item for item in fields.items() if item[0] != "detail")
    key = (target, message, place)
    faults.report(key, logger, logging.ERROR, text, count=count, extra=extra)


def write_count(level: str, target: str, message: str, check: str | None, count: int) -> None:
    """Write how many events of one kind were not written.

    Args:
        level: As in `write`.
        target: As in `write`.
        message: That of the first of them.
        check: The check that they are about; None: they are about none.
        count: How many (count).
    """
    logger = logging.getLogger(_name(target))
    fields = {} if check is None else {"check": check}
    name = message if check is None else f"{message} check={check!r}"
    records.tell(logger, _LEVELS.get(level, logging.WARNING), name, count, **fields)


def _name(target: str) -> str:
    first, *rest = target.split("::")
    if first.startswith("fraiseql_subs"):
        return first
    return ".".join(["fraiseql_subs", first, *([] if first in _CRATES else rest)])
