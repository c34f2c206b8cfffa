"""Logs each fault of the application once, then its count.

Every fault that a client can repeat is logged here: exceptions of resolvers, streams, hooks,
attributes, serializers and delegated schemas, and values that do not fit the schema.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from ._log_record import OCCURRENCE
from ._records import RecordOptions, cut, records
from ._section import Section

WINDOW = 60.0
"""Time in which a repeated fault is only counted (seconds)."""

CAPACITY = 512
"""Faults that are remembered at a time (count); past it the oldest is forgotten."""

_TEXT_LENGTH = 1024

_EXITS = (KeyboardInterrupt, SystemExit)

_log = logging.getLogger("fraiseql_subs")


@dataclasses.dataclass(slots=True)
class _Known:
    since: float
    logger: logging.Logger
    level: int
    text: str
    event: str
    fields: Mapping[str, str]
    repeats: int = 0


class Faults:
    """The faults of this process. Thread-safe.

    A new fault is logged in full. Repetitions are counted, and the count is logged after `window`
    seconds or when a manager ends.
    """

    def __init__(self, window: float = WINDOW, capacity: int = CAPACITY) -> None:
        self._window = window
        self._capacity = capacity
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._section = Section()
        self._timer_due = 0.0

    def raised(
        self,
        what: str,
        exception: BaseException,
        path: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Report an exception, which is logged with its traceback.

        Exceptions that end the program are not faults.

        Args:
            what: What happened, such as `"the resolver of orders raised"`. Faults are distinguished
                by this text, the class of the exception and the line that raised it.
            exception: The raised exception.
            path: Response path, such as `"orders.0.total"`; None: unknown.
            fields: Whose fault it is, such as the connection.
        """
        if isinstance(exception, _EXITS):
            return
        kind = type(exception)
        key = (what, kind.__module__, kind.__qualname__, _line(exception))
        text = what if path is None else f"{what} (at {path})"
        event = "exception.raised"
        self.report(key, _log, logging.ERROR, text, event=event, fields=fields, exc_info=exception)

    def misfit(
        self,
        field: str,
        problem: str,
        detail: str,
        path: str,
        count: int,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Report a value that does not fit the schema.

        Args:
            field: The field in the schema, such as `"Order.total"`.
            problem: What is wrong, without the value.
            detail: A description of the value, for the log alone.
            path: Response path, such as `"orders.0.total"`.
            count: How often (count).
            fields: Whose fault it is, such as the connection.
        """
        text = f"{field} has a value that does not fit the schema: {problem}"
        if detail:
            text = f"{text}: {detail}"
        text = f"{text} (at {path})" if path else text
        fields = {**(fields or {}), "field": field, "problem": problem}
        key, event = (field, problem), "value.misfit"
        self.report(key, _log, logging.ERROR, text, event=event, fields=fields, count=count)

    def report(
        self,
        key: Hashable,
        logger: logging.Logger,
        level: int,
        text: str,
        *,
        event: str,
        fields: Mapping[str, str] | None = None,
        exc_info: BaseException | None = None,
        count: int = 1,
    ) -> None:
        """Report a fault.

        Args:
            key: Identifies the fault.
            logger: The logger that writes it.
            level: As in `logging`.
            text: What happened.
            event: The name of the event in the catalogue.
            fields: Structured fields of the record.
            exc_info: The exception whose traceback is written.
            count: How often (count).
        """
        if self._section.is_entered:
            # Called by a finalizer or a signal handler, inside a step of this thread.
            again = functools.partial(
                self.report, event=event, fields=fields, exc_info=exc_info, count=count
            )
            self._section.postpone(functools.partial(again, key, logger, level, text))
            return
        told = cut(text, _TEXT_LENGTH)
        new = _Known(time.monotonic(), logger, level, told, event, fields or {}, count - 1)
        over, is_new = self._section.run(lambda: self._note(key, new))
        _summarise(over)
        if not is_new or count > 1:
            self._start_timer()
        if not is_new:
            return
        options = RecordOptions(fields=fields, exc_info=exc_info)
        if not records.write(logger, level, text, event=event, kind="faults", **options):
            # The record was not written, so the fault counts as new at its next occurrence.
            self._section.run(lambda: self._known.pop(key, None))

    def flush(self) -> None:
        """Log the remaining counts, and forget all faults."""
        if self._section.is_entered:
            self._section.postpone(self.flush)
            return
        self._timer_due = 0.0
        _summarise(self._section.run(lambda: self._take(lambda known: True)))
        records.flush()

    def _note(self, key: Hashable, new: _Known) -> tuple[list[_Known], bool]:
        """Count a fault; return the faults whose window has passed, and whether this one is new."""
        known = self._known.get(key)
        if known is not None and new.since - known.since < self._window:
            known.repeats += new.repeats + 1
            return [], False
        over = [] if known is None else [known]
        self._known[key] = new
        self._known.move_to_end(key)
        if len(self._known) > self._capacity:
            over.append(self._known.popitem(last=False)[1])
        return over, True

    def _take(self, is_over: Callable[[_Known], bool]) -> list[_Known]:
        keys = [key for key, known in self._known.items() if is_over(known)]
        return [self._known.pop(key) for key in keys]

    def _start_timer(self) -> None:
        now = time.monotonic()
        if now < self._timer_due:
            return
        # There is no timer, or its event loop has ended or is not running. Without a loop the count
        # is logged with the next occurrence, or when a manager ends.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_later(self._window, self._expire)
            self._timer_due = now + self._window

    def _expire(self) -> None:
        if self._section.is_entered:
            self._section.postpone(self._expire)
            return
        self._timer_due = 0.0
        now = time.monotonic()
        over = self._section.run(lambda: self._take(lambda k: now - k.since >= self._window))
        if self._section.run(lambda: any(known.repeats for known in self._known.values())):
            self._start_timer()
        _summarise(over)


faults = Faults()
"""The table of this process."""


def _summarise(over: list[_Known]) -> None:
    for known in over:
        if known.repeats:
            same = {name: known.fields[name] for name in known.fields if name not in OCCURRENCE}
            records.write(
                known.logger,
                known.level,
                "%s: counted %d more since it was logged",
                known.text,
                known.repeats,
                event=known.event,
                kind="counts of faults",
                fields={**same, "repeats": str(known.repeats)},
            )


def _line(exception: BaseException) -> tuple[str, int] | None:
    """Return the file and the line that raised."""
    traceback = exception.__traceback__
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
