"""In-process subscriptions: results without a socket."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from ._causes import Causes
from .errors import ValidationError
from .types import ExecutionResult

if TYPE_CHECKING:
    from ._core import Responses


READS_IN_A_ROW = 64
"""Responses that are read before other tasks of the event loop have a turn (count)."""


class PendingSubscription:
    """An in-process subscription that is being opened.

    Attributes:
        responses: Done when the subscription is registered, with its responses.
        causes: The exception that ended it.
    """

    __slots__ = ("causes", "responses")

    def __init__(self, responses: asyncio.Future[Responses], causes: Causes) -> None:
        self.responses = responses
        self.causes = causes


class ResponseReader:
    """Reads the responses of a subscription, for several tasks at once."""

    __slots__ = ("_causes", "_in_a_row", "_waiting", "responses")

    def __init__(self, responses: Responses, causes: Causes) -> None:
        self.responses = responses
        self._causes = causes
        self._in_a_row = 0
        self._waiting: asyncio.Future[None] | None = None

    async def read(self) -> bytes | None:
        """Wait for the next serialised response; None once the subscription has ended.

        Raises:
            ValidationError: The subscription ended with errors; its `__cause__` is the exception
                behind them.
        """
        if self._in_a_row == READS_IN_A_ROW:
            # What has come is read without waiting, and may come faster than it is read.
            self._in_a_row = 0
            await asyncio.sleep(0)
        while True:
            while self._waiting is not None and not self._waiting.done():
                # Another task waits for the same future. It is not awaited directly: cancelling one
                # task would cancel it for all.
                await asyncio.wait([self._waiting])
            try:
                taken = self.responses.take()
            except ValidationError as error:
                raise error from next(iter(self._causes), None)
            if not isinstance(taken, asyncio.Future):
                self._in_a_row += 1
                return taken
            self._in_a_row = 0
            self._waiting = taken
            await taken


class ResponseStream:
    """Results of one in-process subscription, in the order of their events.

    Iterate over it, or enter it first: inside `async with` the subscription is registered, so it
    receives every event published from then on. It ends with `aclose()`, at the end of the
    `async with`, and when it is garbage collected.

    Raises:
        ValidationError: When it is entered or first iterated: the document is refused. Later: a
            source stream, a `context_getter` or a `root_value` raised; that exception is the
            `__cause__`.
    """

    __slots__ = ("_is_closed", "_pending", "_reader")

    def __init__(self, pending: PendingSubscription) -> None:
        self._pending = pending
        self._reader: ResponseReader | None = None
        self._is_closed = False

    async def _open(self) -> ResponseReader | None:
        """Wait until the subscription is registered; None if it was closed before."""
        if self._reader is None and not self._is_closed:
            responses = self._pending.responses
            if not responses.done():
                # Not awaited directly: cancelling one task would cancel it for all.
                await asyncio.wait([responses])
            if self._is_closed:
                return None
            if self._reader is None:
                self._reader = ResponseReader(responses.result(), self._pending.causes)
        return self._reader

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            # The block is not entered, so nothing else would end the subscription.
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ExecutionResult:
        reader = await self._open()
        response = None if reader is None else await reader.read()
        if response is None:
            raise StopAsyncIteration
        return ExecutionResult(**json.loads(response))

    async def aclose(self) -> None:
        """End the subscription and its waiting iterations. Closing twice is allowed."""
        self._is_closed = True
        if self._reader is not None:
            self._reader.responses.close()
        else:
            self._pending.responses.add_done_callback(_close)


def _close(opened: asyncio.Future[Responses]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
