"""In-process subscriptions: results without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from .types import ExecutionResult

if TYPE_CHECKING:
    from ._core import Responses


async def next_response(responses: Responses) -> bytes | None:
    """Wait for the next pre-serialised response; None once the subscription has ended.

    Raises:
        ValidationError: The subscription ended with errors.
    """
    while isinstance(taken := responses.take(), asyncio.Future):
        await taken
    return taken


class ResponseStream:
    """Results of one in-process subscription, in the order of their events.

    Iterate over it, or enter it first: inside `async with` the subscription is registered, so an
    event published from then on reaches it. It ends with `aclose()`, with the `async with`, and
    when nobody holds it any more.

    Raises:
        ValidationError: When it is entered or first iterated, and the document is refused.
    """

    __slots__ = ("_opening", "_responses")

    def __init__(self, opening: Awaitable[Responses]) -> None:
        self._opening: Awaitable[Responses] | None = opening
        self._responses: Responses | None = None

    async def _open(self) -> Responses | None:
        if self._opening is not None:
            opening, self._opening = self._opening, None
            self._responses = await opening
        return self._responses

    async def __aenter__(self) -> Self:
        await self._open()
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
        responses = await self._open()
        response = None if responses is None else await next_response(responses)
        if response is None:
            raise StopAsyncIteration
        return ExecutionResult(**json.loads(response))

    async def aclose(self) -> None:
        """End the subscription. Waiting iterations end; closing twice is allowed."""
        responses = await self._open()
        if responses is not None:
            responses.close()
