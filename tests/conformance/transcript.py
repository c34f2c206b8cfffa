"""Transcripts of the protocols: what a client sends, and what it must receive.

A step is an object with one member. `websocket_steps.py` and `http_steps.py` have those of their
protocols; here are those of the other side, which all protocols share:

- `publish`: channel and data; `disconnect`: the reason with which the manager ends all clients
- `close_server`: the manager closes; a number is its drain in seconds
- `let_go`: the query `held` and the stream `finite` have their value
- `wait_for_authentication`, `let_in`: the hook was entered; the hook accepts
- `authentication_ends`: the hook has ended, perhaps because it was cancelled
- `running`, `connected`: exactly as many operations run, or clients are connected
- `generator_ends`: the generator of `endless` has run its `finally`
- `pause`: seconds in which a timer could fire that must not

In what is expected `{"$errors": n}` is a list of n GraphQL errors with texts of any kind, and
`{"$error": true}` is one of them; a text may be `{"$starts": ..., "$ends": ...,
"$max_bytes": ...}`. Everywhere `"$event_id"` stands for that of the event published last.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from application import Application
from support import PATIENCE, eventually


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the transcripts of a folder by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


class Run:
    """One transcript against one server."""

    def __init__(self, application: Application) -> None:
        self.manager = application.manager
        self.application = application
        self.closing: asyncio.Future[None] | None = None
        self.known: dict[str, str] = {}

    async def play(self, steps: list[dict[str, Any]]) -> None:
        """Execute the steps; fails at the first that is not as expected."""
        for number, step in enumerate(steps, 1):
            ((kind, value),) = step.items()
            try:
                await getattr(self, kind)(fill(value, self.known))
            except (AssertionError, TimeoutError, asyncio.TimeoutError) as error:
                raise AssertionError(f"step {number}, {step}: {error!r}") from error
        if self.closing is not None:
            await self.closing

    async def publish(self, event: dict[str, Any]) -> None:
        receipt = await self.manager.publish(event["channel"], event["data"])
        self.known["$event_id"] = receipt.event_id

    async def disconnect(self, reason: str) -> None:
        for connection in self.manager.connections():
            await self.manager.disconnect(connection_id=connection.connection_id, reason=reason)

    async def close_server(self, drain: Any) -> None:
        options = {} if drain is True else {"drain": drain}
        self.closing = asyncio.ensure_future(self.manager.close(**options))

    async def let_go(self, _: Any) -> None:
        self.application.held.let_go.set()

    async def wait_for_authentication(self, _: Any) -> None:
        await asyncio.wait_for(self.application.authentication.entered.wait(), PATIENCE)

    async def authentication_ends(self, _: Any) -> None:
        await asyncio.wait_for(self.application.authentication.ended.wait(), PATIENCE)

    async def let_in(self, _: Any) -> None:
        self.application.authentication.opened.set()

    async def running(self, count: int) -> None:
        await self._measured("subscriptions", count)

    async def connected(self, count: int) -> None:
        await self._measured("connections", count)

    async def _measured(self, metric: str, count: int) -> None:
        def measured() -> bool:
            return getattr(self.manager.metrics(), metric) == count

        await eventually(measured, f"{metric} is {count}")

    async def generator_ends(self, _: Any) -> None:
        await asyncio.wait_for(self.application.endless.ended.wait(), PATIENCE)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def fill(value: Any, known: dict[str, str]) -> Any:
    """Replace names by their known values."""
    if isinstance(value, dict):
        return {key: fill(member, known) for key, member in value.items()}
    if isinstance(value, list):
        return [fill(item, known) for item in value]
    return known.get(value, value) if isinstance(value, str) else value


def matches(actual: Any, expected: Any) -> bool:
    """Compare exactly, except for the markers."""
    if isinstance(expected, dict):
        if "$error" in expected:
            return _is_error(actual)
        if "$errors" in expected:
            count = expected["$errors"]
            return isinstance(actual, list) and len(actual) == count and all(map(_is_error, actual))
        if "$starts" in expected:
            return (
                actual.startswith(expected["$starts"])
                and actual.endswith(expected.get("$ends", ""))
                and len(actual.encode()) <= expected.get("$max_bytes", len(actual.encode()))
            )
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(matches(actual[key], expected[key]) for key in expected)
        )
    return actual == expected and type(actual) is type(expected)


def _is_error(actual: Any) -> bool:
    return (
        isinstance(actual, dict)
        and isinstance(actual.get("message"), str)
        and actual["message"] != ""
        and actual.keys() <= {"message", "locations", "path", "extensions"}
    )
