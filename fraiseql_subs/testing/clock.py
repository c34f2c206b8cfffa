"""Time that a test can advance.

Advanced are the timers of the event loop, and the clocks of the runtime by which events, tokens,
identities and rates age. Timers of the runtime run in real time: timeouts of resolvers, drains,
keepalives, pauses before a repetition, and links to an engine.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fraiseql_subs._core import advance_clock, reset_clock

_TURNS = 20
"""Turns of the event loop in which what a timer has started may go on (count)."""


class Clock:
    """Time that can be advanced: `with Clock() as clock: ... await clock.advance(60)`.

    It needs an event loop of asyncio's own that is running. At the end of the block the clock of
    the day is set back. The time of the event loop never goes back, so its timers stay right.
    """

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self._loop: asyncio.BaseEventLoop | None = None

    def __enter__(self) -> Self:
        """Take over the time of the running event loop.

        Raises:
            RuntimeError: It is no event loop of asyncio, such as one of uvloop, or none runs.
        """
        event_loop = asyncio.get_running_loop()
        if not isinstance(event_loop, asyncio.BaseEventLoop):
            raise RuntimeError(
                f"the time of {type(event_loop).__module__} cannot be advanced: run the test on an "
                "event loop of asyncio"
            )
        if "call_at" in vars(event_loop):
            raise RuntimeError("another clock advances the time of this event loop")
        now, call_at = event_loop.time, event_loop.call_at

        def later() -> float:
            return now() + self._elapsed

        def call_and_note(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            timer = call_at(*arguments, **options)
            self._timers.append(timer)
            return timer

        loop: Any = event_loop
        loop.time, loop.call_at = later, call_and_note
        self._loop = event_loop
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            loop: Any = self._loop
            del loop.call_at
            self._loop = None
            reset_clock()

    @property
    def elapsed(self) -> float:
        """How far it was advanced (seconds)."""
        return self._elapsed

    def time(self) -> float:
        """Return the advanced time of the day, for the `exp` of a token (seconds of the epoch)."""
        return time.time() + self._elapsed

    async def advance(self, seconds: float) -> None:
        """Advance it: each timer of the event loop until then runs at its own time, in order.

        Args:
            seconds: How far (seconds, at least 0).

        Raises:
            ValueError: It is below 0.
            RuntimeError: The clock is not entered.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds!r}: time cannot go back")
        if self._loop is None:
            raise RuntimeError("the clock is not entered: use it in `with Clock() as clock`")
        until, elapsed = self._loop.time() + seconds, self._elapsed + seconds
        while (moment := self._next_timer(until)) is not None:
            await self._step(min(moment - self._loop.time(), elapsed - self._elapsed))
        await self._step(elapsed - self._elapsed)

    def _next_timer(self, until: float) -> float | None:
        """Return when the next timer is due; None: there is none until then."""
        assert self._loop is not None
        now = self._loop.time()
        self._timers = [t for t in self._timers if not t.cancelled() and t.when() > now]
        return min((t.when() for t in self._timers if t.when() <= until), default=None)

    async def _step(self, seconds: float) -> None:
        seconds = max(0.0, seconds)
        self._elapsed += seconds
        advance_clock(seconds)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
