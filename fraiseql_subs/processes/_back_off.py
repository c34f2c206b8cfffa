"""How long to wait before a process that has ended is replaced."""

from __future__ import annotations

FIRST = 0.5
"""The first pause (seconds); it doubles with each process that ends soon."""

LONGEST = 30.0
"""The longest pause (seconds)."""

STEADY = 10.0
"""How long a process has to serve until the pause is the first one again (seconds)."""


class BackOff:
    """The pauses of one place."""

    def __init__(self) -> None:
        self._next = FIRST

    def pause(self, served: float) -> float:
        """Return the pause after a process that has served so long (seconds)."""
        if served >= STEADY:
            self._next = FIRST
        pause, self._next = self._next, min(2 * self._next, LONGEST)
        return pause
