"""Writes what the compiled core has to say to Python's loggers; called by it alone."""

from __future__ import annotations

import logging

from ._faults import faults

_CRATES = {"bus", "graphql", "protocol", "python", "runtime", "security", "server", "_core"}
_LEVELS = {"DEBUG": logging.DEBUG}


def write(level: str, target: str, message: str, fields: dict[str, str], count: int) -> None:
    """Write one event; an error that repeats is counted.

    Args:
        level: `"ERROR"`, `"WARN"` or `"DEBUG"`.
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
        logger.log(_LEVELS.get(level, logging.WARNING), "%s", text, extra=extra)
        return
    place = tuple(item for item in fields.items() if item[0] != "detail")
    key = (target, message, place)
    faults.report(key, logger, logging.ERROR, text, count=count, extra=extra)


def write_dropped(count: int) -> None:
    """Say that events came faster than the event loop took them."""
    logging.getLogger("fraiseql_subs").warning("%d log events were dropped", count)


def _name(target: str) -> str:
    first, *rest = target.split("::")
    if first.startswith("fraiseql_subs"):
        return first
    return ".".join(["fraiseql_subs", first, *([] if first in _CRATES else rest)])
