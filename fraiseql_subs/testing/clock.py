"""Time that a test can advance.

Advanced are the timers of the event loop, and the clocks of the runtime by which events, tokens,
identities and rates age. Timers of the runtime run in real time: timeouts of resolvers, drains,
keepalives, pauses before a repetition, and links to an engine.
"""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fraiseql_subs._core import advance_clock, reset_clock, settle

_TURNS = 100
"""Turns of the event loop after which it does not come to rest (count)."""

_ROUNDS = 100
"""Rounds through the runtime after which it does not come to rest (count)."""

_FARTHEST = 100 * 365 * 24 * 3600.0
"""How far the time of one process can be advanced, as that of the runtime (seconds)."""


class _Passed:
    """How far the tests of this process have advanced it (seconds)."""

    seconds = 0.0


class _LoopTime:
    """The time of one event loop. It never goes back, so it is kept for the next clock."""

    def __init__(self, event_loop: asyncio.BaseEventLoop) -> None:
        self._now = event_loop.time
        self.ahead = 0.0
        self.is_taken = False

    def __call__(self) -> float:
        return self._now() + self.ahead


def is_advanced(event_loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a clock advances the time of an event loop."""
    loop_time = event_loop.time
    return isinstance(loop_time, _LoopTime) and loop_time.is_taken


def advanced_by(event_loop: asyncio.AbstractEventLoop) -> float:
    """Return how far clocks have advanced the time of an event loop (seconds)."""
    loop_time = event_loop.time
    return loop_time.ahead if isinstance(loop_time, _LoopTime) else 0.0


class Clock:
    """Time that can be advanced: `with Clock() as clock: ... await clock.advance(60)`.

    It needs an event loop of asyncio's own that is running. At the end of the block the clock of
    the day is set back. The time of the event loop never goes back, so its timers stay right.
    """

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._loop: Any = None
        self._time: _LoopTime | None = None
        self._seen: list[int] = []
        self._turn = asyncio.Lock()

    def __enter__(self) -> Self:
        """Take over the time of the running event loop; `elapsed` begins at 0.

        Raises:
            RuntimeError: It is no event loop of asyncio, such as one of uvloop, or none runs.
        """
        event_loop: Any = asyncio.get_running_loop()
        is_known = isinstance(event_loop, asyncio.BaseEventLoop)
        if not (is_known and hasattr(event_loop, "_ready") and hasattr(event_loop, "_scheduled")):
            raise RuntimeError(
                f"the time of {type(event_loop).__module__} cannot be advanced: run the test on an "
                "event loop of asyncio"
            )
        if not isinstance(event_loop.time, _LoopTime):
            event_loop.time = _LoopTime(event_loop)
        if event_loop.time.is_taken:
            raise RuntimeError("another clock advances the time of this event loop")
        self._loop, self._time, self._elapsed = event_loop, event_loop.time, 0.0
        self._time.is_taken = True
        self._turn = asyncio.Lock()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._time is not None:
            self._time.is_taken = False
            self._loop = self._time = None
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

        Before and after each timer the event loop and the runtime go on until nothing is left to
        do but to wait. Several calls at once take their turns, so the time advances by their sum.

        Args:
            seconds: How far (seconds, at least 0).

        Raises:
            ValueError: It is below 0, not finite, or a hundred years have passed in this process.
            RuntimeError: The clock is not entered, or its block ends before the call does.
        """
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"seconds is {seconds!r}: time cannot go back, and has no end")
        self._entered()
        async with self._turn:
            await self._advance(seconds)

    async def _advance(self, seconds: float) -> None:
        now = self._entered()
        if _Passed.seconds + seconds > _FARTHEST:
            raise ValueError(
                f"seconds is {seconds!r}: the time of a process can be advanced by 100 years in all"
            )
        await self._rest()
        until, elapsed = now() + seconds, self._elapsed + seconds
        while (moment := self._next_timer()) is not None and moment <= until:
            left = elapsed - self._elapsed
            await self._step(min(max(0.0, moment - now()), left))
            if left <= 0:
                break
        await self._step(elapsed - self._elapsed)

    def _entered(self) -> _LoopTime:
        """Return the time of the event loop, while the block of the clock runs."""
        if self._time is None:
            raise RuntimeError("the clock is not entered: use it in `with Clock() as clock`")
        return self._time

    def _next_timer(self) -> float | None:
        """Return when the next timer is due; None: there is none."""
        self._entered()
        # asyncio has no public list of them. It is a heap, in which cancelled ones may remain.
        timers = self._loop._scheduled  # noqa: SLF001
        if timers and not timers[0].cancelled():
            moment: float = timers[0].when()
            return moment
        return min((timer.when() for timer in timers if not timer.cancelled()), default=None)

    async def _step(self, seconds: float) -> None:
        self._entered().ahead += seconds
        self._elapsed += seconds
        _Passed.seconds += seconds
        advance_clock(seconds)
        await self._rest()

    async def _rest(self) -> None:
        """Wait until the event loop and the runtime have nothing to do but to wait."""
        for _ in range(_ROUNDS):
            await self._turn_until_idle()
            settling = settle()
            if not settling:
                return
            # A manager that ends now has nothing to do.
            seen = await asyncio.gather(*settling, return_exceptions=True)
            numbers = [each for each in seen if isinstance(each, int)]
            is_same, self._seen = numbers == self._seen, numbers
            if is_same and not self._has_work():
                return

    async def _turn_until_idle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if not self._has_work():
                return

    def _has_work(self) -> bool:
        """Whether a callback waits for the next turn of the event loop, or a timer is due."""
        now = self._entered()
        if self._loop._ready:  # noqa: SLF001
            return True
        moment = self._next_timer()
        return moment is not None and moment <= now()
