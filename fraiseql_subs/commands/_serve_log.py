"""The log of `fraiseql-subs serve` on stderr, unless the module configures `logging` itself."""

from __future__ import annotations

import logging
import os
from typing import Any

from .._log_record import make_record
from .._program import is_listening_logged
from .._records import TEXT_LENGTH, cut
from ..logs import JSONFormatter
from ._unhandled import Unhandled

_log = logging.getLogger("fraiseql_subs.server")


class ServeLog:
    """Writes as `--log-format` and `--log-level` say.

    Args:
        options: All options of the command.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        by_process = bool(options["processes"] > 1 or options["reload"])
        self.is_json = options["log_format"] == "json"
        self._level: int = getattr(logging, options["log_level"].upper())
        self._handler = logging.StreamHandler()
        self._handler.setFormatter(_formatter(is_json=self.is_json, by_process=by_process))
        self._unhandled = Unhandled(self._handler, self._level)
        if self.is_json:
            self._unhandled.begin()

    def configure(self) -> bool:
        """Begin, unless the module has configured logging; return whether it has for INFO.

        Only that level counts, at which the log says where the server listens.
        """
        is_configured = is_listening_logged()
        logging.basicConfig(level=self._level, handlers=[self._handler])
        if self._handler not in logging.root.handlers:
            self._unhandled.end()
        return is_configured

    def fail(self, text: str) -> None:
        """Write why the program ends."""
        self.configure()
        event = "program.failed"
        args = (cut(text, TEXT_LENGTH),)
        self._unhandled.write(make_record(_log, logging.ERROR, event, "%s", args))


def _formatter(*, is_json: bool, by_process: bool) -> logging.Formatter:
    if is_json:
        return JSONFormatter(static={"process": os.getpid()} if by_process else {})
    process = " [%(process)d]" if by_process else ""
    return logging.Formatter(f"%(asctime)s %(levelname)s{process} %(name)s: %(message)s")
