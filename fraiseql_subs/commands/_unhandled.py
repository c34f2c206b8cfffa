"""Writes warnings, and exceptions that nothing handles, by the handler of a log.

Python prints them to stderr by itself, which is no line of JSON. Not here: the log (`_serve_log`).
"""

from __future__ import annotations

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

_HOOKS: tuple[tuple[Any, str], ...] = (
    (warnings, "showwarning"),
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (threading, "excepthook"),
)


class Unhandled:
    """Takes the place of the functions of Python that print, once it is begun.

    A module may be imported before it has configured `logging`, or the command has: what happens
    until then is written by the handler alone.

    Args:
        handler: What writes them.
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
        self._write(
            logger.makeRecord(_WARNINGS, logging.WARNING, filename, lineno, "%s", args, None)
        )

    def _raised(
        self,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None = None,
        where: str = "an exception ends the program",
    ) -> None:
        error = kind() if error is None else error
        summary = "".join(traceback.format_exception_only(kind, error)).rstrip()
        event = "exception.unhandled"
        logger = logging.getLogger("fraiseql_subs.server")
        args = (where, summary)
        self._write(make_record(logger, logging.ERROR, event, "%s: %s", args, exc_info=error))

    def _raised_by_thread(self, told: threading.ExceptHookArgs) -> None:
        # As in `threading`.
        if issubclass(told.exc_type, SystemExit):
            return
        name = "a thread" if told.thread is None else f"thread {told.thread.name}"
        where = f"an exception ends {name}"
        self._raised(told.exc_type, told.exc_value, told.exc_traceback, where)

    def _unraisable(self, told: sys.UnraisableHookArgs) -> None:
        where = told.err_msg or "an exception is ignored"
        if told.object is not None:
            where = f"{where} in {_name(told.object)}"
        self._raised(told.exc_type, told.exc_value, told.exc_traceback, where)

    def _write(self, record: logging.LogRecord) -> None:
        if logging.root.handlers:
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        elif record.levelno >= self._level:
            self._handler.handle(record)


def _name(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
