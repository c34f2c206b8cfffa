"""A critical section that the thread inside it may try to enter again.

A finalizer or a signal handler may run between any two lines of a thread, also while the thread
holds a lock, and it may log. With a plain lock the thread would wait for itself.
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

    A step must not start another step: check `is_entered` first, and postpone the call. Postponed
    calls run one after the other, including calls that they postpone themselves.
    """

    def __init__(self) -> None:
        # Not a plain lock: this one knows its owner, also after a signal handler has raised.
        self._lock = threading.RLock()
        self._catching_up_by: int | None = None
        self._postponed: deque[Callable[[], object]] = deque()

    @property
    def is_entered(self) -> bool:
        """Whether this thread is inside a step."""
        return self._lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001

    def postpone(self, call: Callable[[], object]) -> bool:
        """Run a call after the current step.

        Returns:
            Whether it will run: False if too many calls wait.
        """
        if len(self._postponed) >= _MAX_POSTPONED:
            return False
        self._postponed.append(call)
        return True

    def run(self, step: Callable[[], T]) -> T:
        """Run a short step while no other step runs; then run the postponed calls."""
        try:
            with self._lock:
                return step()
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        # A postponed call may run steps itself: only the outermost step runs the postponed calls.
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
            # Another thread took the call.
            return
        call()
