"""The one way of this package to write a log record: so many of each kind, and no harm by handlers.

A handler that raises, blocks or logs by itself is the application's. Whoever has something to say
continues all the same: nothing is raised, nothing recurses, and no lock is held while it writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from ._core import count_unwritten

BURST = 100
"""Records of one kind that are written at once (count)."""

PER_SECOND = 10.0
"""Records of one kind that are written in each second after that (count)."""

TOLD_AFTER = 1.0
"""How long counts gather before they are told (seconds)."""

TEXT_LENGTH = 4096
"""What is kept of a text (characters)."""

_MAX_KINDS = 256
_MAX_DEPTH = 2


@dataclass(slots=True)
class _Kind:
    logger: logging.Logger
    level: int
    name: str
    full_at: float = 0.0
    untold: int = 0


class Records:
    """Writes the records of this process. Thread-safe.

    Args:
        burst: Records of one kind that are written at once (count).
        per_second: Records of one kind that are written in each second after that (count).
        told_after: How long counts gather before they are told (seconds).
    """

    def __init__(
        self,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        told_after: float = TOLD_AFTER,
    ) -> None:
        self._tolerance = (burst - 1) / per_second
        self._step = 1 / per_second
        self._told_after = told_after
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self._lock = threading.Lock()
        self._has_timer = False
        self._writing = threading.local()
        self._complained = -float("inf")

    def write(
        self,
        logger: logging.Logger,
        level: int,
        text: str,
        *args: object,
        kind: str,
        **options: Any,
    ) -> bool:
        """Write a record, or count it when there are too many of its kind.

        Args:
            logger: Where it is written.
            level: As in `logging`.
            text: What happened.
            args: What is put into it, as in `logging`; without them it is written as it is.
            kind: What those are called that are counted with it.
            options: `exc_info` and `extra` of `logging`.

        Returns:
            Whether it was written.
        """
        if not logger.isEnabledFor(level):
            return True
        depth = getattr(self._writing, "depth", 0)
        if depth >= _MAX_DEPTH or not self._take(logger, level, kind):
            self._count(logger, level, kind)
            return False
        self.emit(logger, level, text, *args, **options)
        return True

    def emit(
        self, logger: logging.Logger, level: int, text: str, *args: object, **options: Any
    ) -> None:
        """Write a record that was counted elsewhere, whatever its handlers do."""
        if not args:
            text, args = "%s", (cut(text, TEXT_LENGTH),)
        self._writing.depth = getattr(self._writing, "depth", 0) + 1
        try:
            logger.log(level, text, *args, **options)
        except Exception as exception:
            self._complain(exception)
        finally:
            self._writing.depth -= 1

    def flush(self) -> None:
        """Tell the counts that are not told yet."""
        with self._lock:
            # Its event loop may have ended, and the timer with it.
            self._has_timer = False
            untold = [kind for kind in self._kinds.values() if kind.untold]
            counts = [kind.untold for kind in untold]
            for kind in untold:
                kind.untold = 0
        for kind, count in zip(untold, counts, strict=True):
            self.tell(kind.logger, kind.level, kind.name, count)

    def tell(
        self, logger: logging.Logger, level: int, name: str, count: int, **fields: str
    ) -> None:
        """Write how many records of one kind were not written."""
        text = f'{count} more of "{name}" were not written'
        extra = {"fields": {**fields, "unwritten": str(count)}}
        self.emit(logger, level, text, extra=extra)

    def _take(self, logger: logging.Logger, level: int, name: str) -> bool:
        now = time.monotonic()
        with self._lock:
            kind = self._find(logger, level, name)
            if kind.full_at - now > self._tolerance:
                return False
            kind.full_at = max(kind.full_at, now) + self._step
            return True

    def _count(self, logger: logging.Logger, level: int, name: str) -> None:
        with self._lock:
            self._find(logger, level, name).untold += 1
            self._start_timer()
        count_unwritten(1)

    def _find(self, logger: logging.Logger, level: int, name: str) -> _Kind:
        key: tuple[str, int, str | None] = (logger.name, level, name)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _MAX_KINDS:
                # Those of all further names are one.
                key, name = (logger.name, level, None), "others"
                kind = self._kinds.get(key)
            kind = kind or self._kinds.setdefault(key, _Kind(logger, level, name))
        return kind

    def _start_timer(self) -> None:
        if self._has_timer:
            return
        # Without a loop they are told at the end of a manager.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_later(self._told_after, self.flush)
            self._has_timer = True

    def _complain(self, exception: Exception) -> None:
        """Say once in a minute on stderr that a handler raises."""
        count_unwritten(1)
        now = time.monotonic()
        if now - self._complained < 60.0:
            return
        self._complained = now
        # It may be closed, or on a disk that is full.
        with contextlib.suppress(Exception):
            kind = type(exception).__name__
            print(f"fraiseql_subs: a handler of logging raised {kind}", file=sys.stderr)


def cut(text: str, length: int) -> str:
    """Keep so many characters of a text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


records = Records()
"""The records of this process."""
