"""Writes warnings, and exceptions that nothing handles, as records of a log.

Python prints them to stderr by itself, which is no line of JSON. Not here: the log (`_serve_log`).
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any, TextIO

from .._log_record import make_record

_WARNINGS = "py.warnings"
"""The logger of `logging.captureWarnings`."""

_PYTHONS = ("sys", "_thread", "threading", "warnings", "_py_warnings", "logging")
"""Modules of the functions that print by default, or write the same record a second time."""

_HOOKS: tuple[tuple[Any, str], ...] = (
    (warnings, "showwarning"),
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
)


class Unhandled:
    """Takes the place of the functions of Python that print, once it is begun.

    Functions that the program had put there, such as those that report errors to a service, are
    called after each record.

    A module may be imported before it has configured `logging`, or the command has. What no handler
    of `logging` takes is written by the handler of the log.

    Args:
        handler: The handler of the log.
        level: The least level that it writes.
    """

    def __init__(self, handler: logging.Handler, level: int) -> None:
        self._handler = handler
        self._level = level
        self._previous = [getattr(module, name) for module, name in _HOOKS]
        self._own = (self._warn, self._raised, self._unraisable, self._raised_by_thread)

    def begin(self) -> None:
        """Write them from now on."""
        for (module, name), own in zip(_HOOKS, self._own, strict=True):
            setattr(module, name, own)

    def end(self) -> None:
        """Let Python print them again; a hook that the program has set since stays."""
        hooks = zip(_HOOKS, self._own, self._previous, strict=True)
        for (module, name), own, previous in hooks:
            if getattr(module, name) == own:
                setattr(module, name, previous)

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            self._previous[0](message, category, filename, lineno, file, line)
            return
        logger = logging.getLogger(_WARNINGS)
        text = warnings.formatwarning(message, category, filename, lineno, line)
        args = (text.rstrip(),)
        self.write(
            logger.makeRecord(_WARNINGS, logging.WARNING, filename, lineno, "%s", args, None)
        )
        self._call_previous(0, message, category, filename, lineno, file, line)

    def _raised(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write_error(kind, error, "an exception ends the program")
        self._call_previous(1, kind, error, trace)

    def _unraisable(self, told: sys.UnraisableHookArgs) -> None:
        where = told.err_msg or "an exception is ignored"
        if told.object is not None:
            where = f"{where} in {_name(told.object)}"
        self._write_error(told.exc_type, told.exc_value, where)
        self._call_previous(2, told)

    def _raised_by_thread(self, told: threading.ExceptHookArgs) -> None:
        # As in `threading`.
        if not issubclass(told.exc_type, SystemExit):
            name = "a thread" if told.thread is None else f"thread {told.thread.name}"
            self._write_error(told.exc_type, told.exc_value, f"an exception ends {name}")
        self._call_previous(3, told)

    def _write_error(
        self, kind: type[BaseException], error: BaseException | None, where: str
    ) -> None:
        summary = "".join(traceback.format_exception_only(kind, error)).rstrip()
        event = "exception.unhandled"
        logger = logging.getLogger("fraiseql_subs.server")
        args = (where, summary)
        self.write(make_record(logger, logging.ERROR, event, "%s: %s", args, exc_info=error))

    def _call_previous(self, place: int, *args: Any) -> None:
        previous = self._previous[place]
        if getattr(previous, "__module__", None) not in _PYTHONS:
            previous(*args)

    def write(self, record: logging.LogRecord) -> None:
        """Write a record by its logger, or by the handler of the log.

        `logging.config` disables the loggers that it does not name, and the levels and handlers of
        a program may leave out any of them: what Python would have printed must not be lost.
        """
        logger = logging.getLogger(record.name)
        if _is_taken(logger, record.levelno):
            # The handlers belong to the program.
            with contextlib.suppress(Exception):
                logger.handle(record)
                return
        if record.levelno >= self._level:
            self._handler.handle(record)


def _is_taken(logger: logging.Logger, level: int) -> bool:
    """Whether a handler takes the records of a logger."""
    if not logger.isEnabledFor(level):
        return False
    each: logging.Logger | None = logger
    while each is not None:
        for handler in each.handlers:
            if level >= handler.level and not isinstance(handler, logging.NullHandler):
                return True
        each = each.parent if each.propagate else None
    return False


def _name(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
