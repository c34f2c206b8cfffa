"""In-process subscriptions: results without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from ._causes import Causes
from .errors import ValidationError
from .types import ExecutionResult

if TYPE_CHECKING:
    from ._core import Responses


class Opening:
    """An in-process subscription that is being opened.

    Attributes:
        responses: Takes its responses, once it is registered.
        causes: What has ended it.
    """

    __slots__ = ("causes", "responses")

    def __init__(self, responses: Awaitable[Responses], causes: Causes) -> None:
        self.responses = responses
        self.causes = causes


async def next_response(responses: Responses, causes: Causes) -> bytes | None:
    """Wait for the next pre-serialised response; None once the subscription has ended.

    Raises:
        ValidationError: The subscription ended with errors; from the exception behind them.
    """
    try:
        while isinstance(taken := responses.take(), asyncio.Future):
            await taken
    except ValidationError as error:
        raise error from next(iter(causes), None)
    return taken


class ResponseStream:
    """Results of one in-process subscription, in the order of their events.

    Iterate over it, or enter it first: inside `async with` the subscription is registered, so an
    event published from then on reaches it. It ends with `aclose()`, with the `async with`, and
    when nothing refers to it any more.

    Raises:
        ValidationError: When it is entered or first iterated, and the document is refused; when it
            is iterated, and a source stream, a `context_getter` or a `root_value` raised: that
            exception is its `__cause__`.
    """

    __slots__ = ("_causes", "_opening", "_responses")

    def __init__(self, opening: Opening) -> None:
        self._opening: Awaitable[Responses] | None = opening.responses
        self._responses: Responses | None = None
        self._causes = opening.causes

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
        response = None if responses is None else await next_response(responses, self._causes)
        if response is None:
            raise StopAsyncIteration
        return ExecutionResult(**json.loads(response))

    async def aclose(self) -> None:
        """End the subscription. Waiting iterations end; closing twice is allowed."""
        responses = await self._open()
        if responses is not None:
            responses.close()
