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

    A step must not run another one: check `is_entered` first, and postpone what would.
    """

    def __init__(self) -> None:
        # Not a plain lock: between taking it and noting its owner there is a gap.
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._postponed: deque[Callable[[], object]] = deque()

    @property
    def is_entered(self) -> bool:
        """Whether a step of this thread is under way."""
        return self._owner == threading.get_ident()

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
                try:
                    self._owner = threading.get_ident()
                    return step()
                finally:
                    self._owner = None
        finally:
            while self._postponed:
                self._run_next()

    def _run_next(self) -> None:
        try:
            call = self._postponed.popleft()
        except IndexError:
            # Another thread was faster.
            return
        call()
