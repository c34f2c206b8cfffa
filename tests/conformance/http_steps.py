"""Steps of the protocols over HTTP.

- `request`: `method` (POST), `params`, `headers` (an object, or a list of pairs), and a body as
  `json` or `text`
- `response`: the whole response to the oldest request without one; `status`, and where they are
  given `headers` (those, and maybe others), `json` or `text`
- `open`: a request whose response goes on; `head`: its `status` and `headers`
- `event`: the next event of the stream, its data decoded; `part`: the JSON of the next part;
  heartbeats before them are passed over
- `place`: the next block is an id alone, which tells a client its position
- `heartbeat`: the next thing is one; `text`: what comes next, character by character
- `end`: the body ends as its protocol has it; `cut`: it ends, and its protocol has more to say
- `leave`: the client disconnects

The text of a response `"$token"` is remembered under that name.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from application import Application
from support import PATIENCE
from support.response_bodies import Body, Events, Parts
from transcript import Run, matches
from typing_extensions import Self


class HttpRun(Run):
    """One transcript over requests of one client."""

    def __init__(self, application: Application, client: httpx.AsyncClient, url: str) -> None:
        super().__init__(application)
        self.client = client
        self.url = url
        self.waiting: deque[asyncio.Task[httpx.Response]] = deque()
        self.stream = AsyncExitStack()
        self.opened: httpx.Response | None = None
        self.body: Body | None = None

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, application: Application, url: str, protocol: str
    ) -> AsyncIterator[Self]:
        """Make a client that has sent nothing yet."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            # Only members that a transcript names are sent.
            client.headers.clear()
            run = cls(application, client, url.replace("ws:", "http:"))
            async with run.stream:
                yield run

    def _build(self, asked: dict[str, Any]) -> httpx.Request:
        return self.client.build_request(
            asked.get("method", "POST"),
            self.url,
            params=asked.get("params"),
            headers=asked.get("headers"),
            json=asked.get("json"),
            content=asked.get("text"),
        )

    async def request(self, asked: dict[str, Any]) -> None:
        self.waiting.append(asyncio.create_task(self.client.send(self._build(asked))))
        # Later steps belong to a later test.
        await asyncio.sleep(0)

    async def response(self, expected: dict[str, Any]) -> None:
        response = await self.waiting.popleft()
        _check_head(response, expected)
        if "json" in expected:
            received = response.json()
            assert matches(received, expected["json"]), f"received {received}"
        if expected.get("text") == "$token":
            self.known["$token"] = response.text
        elif "text" in expected:
            assert matches(response.text, expected["text"]), f"received {response.text!r}"

    async def open(self, asked: dict[str, Any]) -> None:
        response = await self.client.send(self._build(asked), stream=True)
        self.stream.push_async_callback(response.aclose)
        self.opened = response
        media_type = response.headers.get("content-type", "")
        is_events = media_type.startswith("text/event-stream")
        self.body = (Events if is_events else Parts)(response.aiter_text())

    async def head(self, expected: dict[str, Any]) -> None:
        assert self.opened is not None
        _check_head(self.opened, expected)

    async def event(self, expected: dict[str, Any]) -> None:
        assert isinstance(self.body, Events)
        event = await asyncio.wait_for(self.body.next_event(), PATIENCE)
        assert matches(event, expected), f"received {event}"

    async def place(self, expected: Any) -> None:
        assert isinstance(self.body, Events)
        block = await asyncio.wait_for(self.body.next_block(), PATIENCE)
        assert matches(block, {"id": expected}), f"received {block}"

    async def part(self, expected: dict[str, Any]) -> None:
        assert isinstance(self.body, Parts)
        part = await asyncio.wait_for(self.body.next_part(), PATIENCE)
        assert matches(part, expected), f"received {part}"

    async def heartbeat(self, _: Any) -> None:
        assert self.body is not None
        await asyncio.wait_for(self.body.heartbeat(), PATIENCE)

    async def text(self, expected: str) -> None:
        assert self.body is not None
        received = await asyncio.wait_for(self.body.read(len(expected)), PATIENCE)
        assert received == expected, f"received {received!r}"

    async def end(self, _: Any) -> None:
        assert self.body is not None
        await asyncio.wait_for(self.body.end(), PATIENCE)

    async def cut(self, _: Any) -> None:
        assert self.body is not None
        await asyncio.wait_for(self.body.cut(), PATIENCE)

    async def leave(self, _: Any) -> None:
        for request in self.waiting:
            request.cancel()
        await self.stream.aclose()


def _check_head(response: httpx.Response, expected: dict[str, Any]) -> None:
    assert response.status_code == expected["status"], f"received {response.status_code}"
    for name, value in expected.get("headers", {}).items():
        assert response.headers.get(name) == value, f"received {response.headers}"
