"""Keeps the log records of the package."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from support.waiting import eventually


class Heard(logging.Handler):
    """Keeps all records that reach a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, *names: str) -> list[Any]:
        """The records of some events."""
        return [record for record in self.records if record.event_name in names]

    @property
    def names(self) -> list[str]:
        return [record.event_name for record in self.records]

    async def wait(self, name: str, count: int = 1) -> list[Any]:
        """Return the records of an event, once there are so many."""
        await eventually(lambda: len(self.of(name)) >= count, f"{name} is written {count} times")
        return self.of(name)


@contextlib.contextmanager
def heard_at(level: int, name: str = "fraiseql_subs") -> Iterator[Heard]:
    """Set the level of a logger, and keep its records."""
    logger, heard = logging.getLogger(name), Heard()
    before = logger.level
    logger.addHandler(heard)
    logger.setLevel(level)
    try:
        yield heard
    finally:
        logger.setLevel(before)
        logger.removeHandler(heard)
