"""A critical section that its own thread may reach again.

A finalizer or a signal handler runs between any two lines, also of a thread that holds a lock, and
it may log. With a plain lock that thread would wait for itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MAX_POSTPONED = 1024


class Section:
    """Runs one step at a time, on all threads.

    A step must not run another one: check `is_entered` first, and postpone what would. Calls that
    were postponed run one after the other, also those that they postpone.
    """

    def __init__(self) -> None:
        # Not a plain lock: this one knows its owner, also when a signal handler has raised.
        self._lock = threading.RLock()
        self._catching_up_by: int | None = None
        self._postponed: deque[Callable[[], object]] = deque()

    @property
    def is_entered(self) -> bool:
        """Whether a step of this thread is under way."""
        return self._lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001

    def postpone(self, call: Callable[[], object]) -> bool:
        """Have a call run after the step that is under way.

        Returns:
            Whether it will run; not when too many wait.
        """
        if len(self._postponed) >= _MAX_POSTPONED:
            return False
        self._postponed.append(call)
        return True

    def run(self, step: Callable[[], T]) -> T:
        """Run a short step while no other one runs; then what was postponed."""
        try:
            with self._lock:
                return step()
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        # What was postponed may run steps itself: only the outermost of them goes on here.
        if self._catching_up_by == threading.get_ident():
            return
        self._catching_up_by = threading.get_ident()
        try:
            while self._postponed:
                self._run_next()
        finally:
            self._catching_up_by = None

    def _run_next(self) -> None:
        try:
            call = self._postponed.popleft()
        except IndexError:
            # Another thread was faster.
            return
        call()
