"""Writes all log records of this package: a bounded number of each kind, safe from its handlers.

Handlers belong to the application, and may raise, block or log. The caller of this module continues
in each case: nothing is raised, nothing recurses, and no lock is held during a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from typing_extensions import Unpack

from ._core import (
    RECORDS_AT_ONCE,
    RECORDS_PER_SECOND,
    RECORDS_TOLD_AFTER,
    count_unwritten,
)
from ._log_record import make_record
from ._section import Section

TEXT_LENGTH = 4096
"""Characters of a text that are kept; the rest is cut off."""

_MAX_KINDS = 256
_MAX_DEPTH = 2


class RecordOptions(TypedDict, total=False):
    """What a record has beside its text."""

    fields: Mapping[str, str] | None
    """Its structured fields."""
    exc_info: BaseException | None
    """The exception whose traceback is written."""


@dataclass(slots=True)
class _Kind:
    logger: logging.Logger
    level: int
    name: str
    event: str
    full_at: float = 0.0
    suppressed: int = 0


class Records:
    """Writes the records of this process. Thread-safe.

    Args:
        burst: Records of one kind that are written at once (count).
        per_second: Records of one kind that are written in each second after that (count).
        told_after: Time for which counts are collected before they are written (seconds).
    """

    def __init__(
        self,
        burst: int = RECORDS_AT_ONCE,
        per_second: float = RECORDS_PER_SECOND,
        told_after: float = RECORDS_TOLD_AFTER,
    ) -> None:
        self._tolerance = (burst - 1) / per_second
        self._step = 1 / per_second
        self._told_after = told_after
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self._section = Section()
        self._timer_due = 0.0
        self._writing = threading.local()
        self._complained = -float("inf")

    def write(
        self,
        logger: logging.Logger,
        level: int,
        text: str,
        *args: object,
        event: str,
        kind: str | None = None,
        **options: Unpack[RecordOptions],
    ) -> bool:
        """Write a record, or count it when there are too many of its kind.

        Args:
            logger: The logger that writes it.
            level: As in `logging`.
            text: What happened.
            args: Arguments of the text, as in `logging`; without them it is written unchanged.
            event: The name of the event in the catalogue.
            kind: Name of the kind of record, which is counted together; None: the event's.
            options: What it has beside its text.

        Returns:
            Whether it was written, or will be written at once.
        """
        if not logger.isEnabledFor(level):
            return True
        if self._section.is_entered:
            # Called by a finalizer or a signal handler, inside a step of this thread.
            again = functools.partial(
                self.write, logger, level, text, *args, event=event, kind=kind, **options
            )
            if not (is_postponed := self._section.postpone(again)):
                count_unwritten(1)
            return is_postponed
        depth = getattr(self._writing, "depth", 0)
        name = kind or event
        is_taken = depth < _MAX_DEPTH and self._section.run(
            lambda: self._take(logger, level, name, event)
        )
        if not is_taken:
            self._section.run(lambda: self._count(logger, level, name, event))
            self._start_timer()
            count_unwritten(1)
            return False
        self.emit(logger, level, text, *args, event=event, **options)
        return True

    def emit(
        self,
        logger: logging.Logger,
        level: int,
        text: str,
        *args: object,
        event: str,
        **options: Unpack[RecordOptions],
    ) -> None:
        """Write a record that was counted elsewhere; exceptions of its handlers are caught."""
        if not args:
            text, args = "%s", (cut(text, TEXT_LENGTH),)
        self._writing.depth = getattr(self._writing, "depth", 0) + 1
        try:
            if logger.isEnabledFor(level):
                logger.handle(make_record(logger, level, event, text, args, **options))
        except Exception as exception:
            self._complain(exception)
        finally:
            self._writing.depth -= 1

    def flush(self) -> None:
        """Write the counts that are not written yet."""
        if self._section.is_entered:
            self._section.postpone(self.flush)
            return
        self._timer_due = 0.0
        for kind, count in self._section.run(self._take_suppressed):
            self.tell(kind.logger, kind.level, kind.name, count, event=kind.event)

    def tell(
        self,
        logger: logging.Logger,
        level: int,
        name: str,
        count: int,
        *,
        event: str,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Write how many records of one kind were not written."""
        text = f'{count} more of "{name}" were not written'
        fields = {**(fields or {}), "unwritten": str(count)}
        self.emit(logger, level, text, event=event, fields=fields)

    def _take(self, logger: logging.Logger, level: int, name: str, event: str) -> bool:
        now = time.monotonic()
        kind = self._find(logger, level, name, event)
        if kind.full_at - now > self._tolerance:
            return False
        kind.full_at = max(kind.full_at, now) + self._step
        return True

    def _take_suppressed(self) -> list[tuple[_Kind, int]]:
        suppressed = [(kind, kind.suppressed) for kind in self._kinds.values() if kind.suppressed]
        for kind, _ in suppressed:
            kind.suppressed = 0
        return suppressed

    def _count(self, logger: logging.Logger, level: int, name: str, event: str) -> None:
        self._find(logger, level, name, event).suppressed += 1

    def _find(self, logger: logging.Logger, level: int, name: str, event: str) -> _Kind:
        key: tuple[str, int, str | None] = (logger.name, level, name)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _MAX_KINDS:
                # All further kinds are counted as one.
                key, name = (logger.name, level, None), "others"
                kind = self._kinds.get(key)
            kind = kind or self._kinds.setdefault(key, _Kind(logger, level, name, event))
        return kind

    def _start_timer(self) -> None:
        now = time.monotonic()
        if now < self._timer_due:
            return
        # There is no timer, or its event loop has ended or is not running. Without a loop the
        # counts are written when a manager ends.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_later(self._told_after, self.flush)
            self._timer_due = now + self._told_after

    def _complain(self, exception: Exception) -> None:
        """Report on stderr, once a minute, that a handler raises."""
        count_unwritten(1)
        now = time.monotonic()
        if now - self._complained < 60.0:
            return
        self._complained = now
        # stderr may be closed, or on a full disk.
        with contextlib.suppress(Exception):
            kind = type(exception).__name__
            print(f"fraiseql_subs: a handler of logging raised {kind}", file=sys.stderr)


def cut(text: str, length: int) -> str:
    """Cut a text to a number of characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


records = Records()
"""The records of this process."""
