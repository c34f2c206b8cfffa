"""Writes what becomes of processes to the log, with the name of each event in the catalogue."""

from __future__ import annotations

import logging

from .._records import records

_log = logging.getLogger("fraiseql_subs.processes")


def tell(level: int, text: str, *args: object, event: str, **fields: object) -> None:
    """Write a record.

    Args:
        level: As in `logging`.
        text: What has happened.
        args: Its arguments, as in `logging`.
        event: The name of the event.
        fields: Its fields.
    """
    told = {name: str(value) for name, value in fields.items()}
    records.write(_log, level, text, *args, event=event, fields=told)
