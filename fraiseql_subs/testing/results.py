"""The results of one subscription of a test."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol

from typing_extensions import Self

from fraiseql_subs.errors import ValidationError
from fraiseql_subs.testing.real_time import wait
from fraiseql_subs.types import ExecutionResult

TIMEOUT = 5.0
"""Time that a test waits for a result (seconds); more than a busy machine needs."""

_ORDERLY = (1000, 1001)
"""Close codes of an end without a fault: of the operation, or of the server."""


class ConnectionEnded(Exception):
    """The server has refused or closed a connection of a test.

    Attributes:
        code: Close code of the WebSocket; None: the handshake was answered with a response.
        reason: Its reason, or the body of that response.
        status: Status of that response; None: the handshake was accepted.
    """

    def __init__(self, code: int | None, reason: str, status: int | None = None) -> None:
        super().__init__(code, reason, status)
        self.code = code
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        if self.code is None:
            return f"the handshake was refused with {self.status}: {self.reason}"
        return f"the connection was closed with {self.code}: {self.reason}"


class Results(Protocol):
    """Where the results of a subscription come from."""

    async def __aenter__(self) -> Any:
        """Return once the subscription is registered."""

    async def __anext__(self) -> ExecutionResult:
        """Wait for the next result."""

    async def aclose(self) -> None:
        """End the subscription."""


class TestSubscription:
    """A subscription of a test: `async with client.subscribe(...) as orders`.

    Inside the block it is registered, so it receives every event that is published there. It is
    also an async iterator of `ExecutionResult`.
    """

    __test__ = False

    def __init__(self, results: Results, timeout: float = TIMEOUT) -> None:
        self._results = results
        self._timeout = timeout
        self._reading: asyncio.Task[ExecutionResult | None] | None = None
        self._is_entered = False

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise RuntimeError("a subscription is entered once: call `subscribe` again")
        self._is_entered = True
        await self._results.__aenter__()
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
        result = await self._take()
        if result is None:
            raise StopAsyncIteration
        return result

    async def next(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the next result, which must have no errors, and return its data.

        Args:
            timeout: Time to wait (seconds); None: that of the client.

        Raises:
            AssertionError: It has errors, none came in time, or the subscription has ended.
            ValidationError: The subscription was refused.
        """
        result = await self.next_result(timeout=timeout)
        if result.errors is not None:
            raise AssertionError(f"the result has errors: {result.errors}")
        if result.data is None:
            raise AssertionError(f"the result has no data, but extensions: {result.extensions}")
        return result.data

    async def next_errors(self, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """Wait for the next result, which must have errors, and return them.

        Raises:
            AssertionError: It has none, none came in time, or the subscription has ended.
        """
        result = await self.next_result(timeout=timeout)
        if result.errors is None:
            raise AssertionError(f"the result has no errors: {result.data}")
        return result.errors

    async def next_result(self, *, timeout: float | None = None) -> ExecutionResult:
        """Wait for the next result, with data, errors and extensions.

        Raises:
            AssertionError: None came in time, or the subscription has ended.
        """
        seconds = self._timeout if timeout is None else timeout
        result = await self._take(seconds)
        if result is None:
            raise AssertionError("the subscription has ended without a further result")
        return result

    async def rest(self, *, timeout: float | None = None) -> list[ExecutionResult]:
        """Wait until the subscription has ended, and return the results until then.

        It ends when its source stream ends, or when the manager is closed:
        `await client.close()` delivers what was published before.

        Raises:
            AssertionError: It has not ended in time.
            ConnectionEnded: Its connection was closed with another code than 1000 and 1001.
        """
        seconds = self._timeout if timeout is None else timeout
        results = []
        try:
            while (one := await self._take(seconds, "the subscription has not ended")) is not None:
                results.append(one)
        except ConnectionEnded as ended:
            if ended.code not in _ORDERLY:
                raise
        return results

    async def assert_none(self, *, within: float = 0.1) -> None:
        """Check that no result comes within a time, and that the subscription goes on.

        Args:
            within: How long to wait (seconds). A resolver that takes longer is not seen; to be
                certain, close the client and compare `rest()`.

        Raises:
            AssertionError: A result came, or the subscription has ended.
        """
        reading = self._read()
        await wait(reading, within)
        if reading.done():
            if self._reading is reading:
                self._reading = None
            result = reading.result()
            if result is None:
                raise AssertionError("the subscription has ended")
            raise AssertionError(f"a result came: {result}")

    async def aclose(self) -> None:
        """End the subscription."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                # Nothing else asks for it, and asyncio must not log it.
                reading.exception()
        await self._results.aclose()

    def _read(self) -> asyncio.Task[ExecutionResult | None]:
        """Return the task that waits for the next result; it is kept, so that none is lost."""
        if not self._is_entered:
            raise RuntimeError(
                "the subscription is not entered: use it in `async with`, or in `with` if it is of "
                "a SyncTestClient"
            )
        if self._reading is None:
            self._reading = asyncio.create_task(self._next_or_none())
        return self._reading

    async def _next_or_none(self) -> ExecutionResult | None:
        # A task cannot raise `StopAsyncIteration`'s relative `StopIteration`, and None is simpler.
        try:
            return await self._results.__anext__()
        except StopAsyncIteration:
            return None

    async def _take(
        self, seconds: float | None = None, late: str = "no result has come"
    ) -> ExecutionResult | None:
        while True:
            reading = self._read()
            await wait(reading, seconds)
            if not reading.done():
                raise AssertionError(f"{late} in {seconds:g} s")
            if self._reading is reading:
                self._reading = None
                break
            if reading.cancelled():
                # The subscription was left; nothing further comes.
                break
            # Another task waited as well, and has taken this result.
        try:
            return reading.result()
        except ValidationError as error:
            raise error from error.__cause__
