"""Runs an operation over one connection after another, and prints what it receives.

Not here: how a connection is made (`_subscribe_websocket`, `_subscribe_http`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from ._printable import printable, printable_json
from ._status import FAILURE
from ._subscribe_request import (
    Attempt,
    ConnectionLost,
    Result,
    SentOperation,
    ServerRefusal,
    Transport,
    is_notice,
    resume_of,
)

FIRST_PAUSE = 0.5
"""The longest pause before the first attempt to connect again (seconds); it doubles."""

LONGEST_PAUSE = 30.0
"""The longest of all (seconds)."""


@dataclass(frozen=True)
class SessionOptions:
    """What a session is told.

    Attributes:
        place: The server, for messages.
        count: Results after which it ends; None: all.
        after: Id of the result after which it begins.
        reconnects: Whether it connects again.
        is_pretty: Whether results are printed for people, else one in each line.
    """

    place: str
    count: int | None
    after: str | None
    reconnects: bool
    is_pretty: bool


class Session:
    """One run of the command."""

    def __init__(
        self, operation: SentOperation, transport: Transport, options: SessionOptions
    ) -> None:
        self._operation = operation
        self._transport = transport
        self._options = options
        self._last = options.after
        self._is_resuming = options.after is not None
        self._was_connected = False
        self._has_errors = False
        self._attempts = 0
        self.results = 0
        self._is_stream = operation.is_subscription
        self._resumes = self._is_stream and (options.reconnects or self._last is not None)

    async def run(self) -> int:
        """Print results to the end; return the exit status.

        Raises:
            click.ClickException: There is no connection, and no more attempt is made.
        """
        while True:
            try:
                await self._receive()
            except ServerRefusal as error:
                raise self._failure(error) from None
            except ConnectionLost as error:
                if not (self._was_connected and self._is_stream and self._options.reconnects):
                    raise self._failure(error) from None
                await self._pause(error)
            else:
                say(counted(self.results))
                return FAILURE if self._has_errors else 0

    def _failure(self, error: Exception) -> click.ClickException:
        text = f"{self._options.place}: {printable(str(error))}"
        if self._was_connected and not self._is_stream:
            text += "; the operation may have run"
        return click.ClickException(text)

    async def _receive(self) -> None:
        """Receive results over one connection, until the operation is complete."""
        attempt = Attempt(self._payload(), self._is_stream, self._connected)
        async with contextlib.aclosing(self._transport(attempt)) as results:
            async for result in results:
                self._take(result)
                if self.results == self._options.count:
                    return

    def _payload(self) -> dict[str, Any]:
        if not self._resumes:
            return self._operation.payload(None)
        return self._operation.payload({} if self._last is None else {"after": self._last})

    def _connected(self, protocol: str) -> None:
        if not self._was_connected:
            say(f"connected to {self._options.place} by {protocol}")
        elif self._is_resuming:
            say(f"connected again by {protocol}, resuming")
        else:
            say(f"connected again by {protocol}: events in between are lost, as there was no id")
        self._was_connected = True

    def _take(self, result: Result) -> None:
        self._attempts = 0
        resume = resume_of(result)
        self._tell(resume)
        if isinstance(id := resume.get("id"), str) and id:
            self._last = id
        if is_notice(result) and not (resume["missed"] and not self._options.is_pretty):
            return
        if not is_notice(result):
            self.results += 1
            self._has_errors = self._has_errors or bool(result.get("errors"))
        self._print(result)

    def _tell(self, resume: dict[str, Any]) -> None:
        """Say what a result tells of those before it."""
        if resume.get("missed"):
            say("missed: the server no longer has all events in between; fetch the state anew")
        elif self._is_resuming:
            say("resumed" if resume else "not resumed: the server sends no ids")
        self._is_resuming = False

    def _print(self, result: Result) -> None:
        if self._options.is_pretty:
            click.echo(printable_json(_shown(result), indent=2))
        else:
            click.echo(printable_json(result))

    async def _pause(self, error: ConnectionLost) -> None:
        self._is_resuming = self._last is not None
        pause = pause_before(self._attempts, error.retry_after, random.random)
        self._attempts += 1
        say(f"lost: {printable(str(error))}; reconnecting in {pause:.1f} s")
        await asyncio.sleep(pause)


def pause_before(attempts: int, retry_after: float, chance: Callable[[], float]) -> float:
    """Return how long to wait before the next attempt (seconds).

    Args:
        attempts: Those that have failed since the last result (count).
        retry_after: What the server asks for at least (seconds).
        chance: Returns a number from 0 to 1, so that clients do not come back together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts, 16))
    return retry_after + longest * (1 + chance()) / 2


def _shown(result: Result) -> Result:
    """Return a result without what serves resuming."""
    extensions = result.get("extensions")
    if not isinstance(extensions, dict) or "resume" not in extensions:
        return result
    rest = {name: value for name, value in extensions.items() if name != "resume"}
    shown = {name: value for name, value in result.items() if name != "extensions"}
    return {**shown, "extensions": rest} if rest else shown


def counted(results: int) -> str:
    """Return the number of results, in words."""
    return "1 result" if results == 1 else f"{results} results"


def say(text: str) -> None:
    """Print what happens, apart from results."""
    click.echo(text, err=True)
