"""Clients of the shop: they come, read, read slowly, return and resume, and are refused.

Not here: what they are drawn from (shop.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

FIELDS = ("order", "stock", "orderTotal", "shelf")
KNOWN = "?token=known"
"""Without it clients are refused."""


async def converse(url: str, field: str, seconds: float, after: str | None) -> str | None:
    """Read results for some time; return the position of the last one."""
    async with connected(url + KNOWN) as client:
        resume = {"resume": {"after": after} if after else {}}
        query = {"query": f"subscription {{ {field} }}", "extensions": resume}
        await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_last(client, found := [after]), seconds)
        return found[-1]


async def _last(client: ClientConnection, found: list[Any]) -> None:
    async for text in client:
        payload = json.loads(text).get("payload")
        if isinstance(payload, dict):
            resume = payload.get("extensions", {}).get("resume", {})
            found[:] = [resume.get("id", found[-1])]


def connected(url: str, **options: Any) -> Any:
    """Return a connection that is acknowledged, as a context manager."""

    @contextlib.asynccontextmanager
    async def opened() -> Any:
        protocol = Subprotocol("graphql-transport-ws")
        client = connect(url, subprotocols=[protocol], compression=None, **options)
        async with client as connection:
            await connection.send(json.dumps({"type": "connection_init"}))
            await connection.recv()
            yield connection

    return opened()


async def reader(urls: list[str]) -> None:
    """Read one field after another, with pauses, at any node; resume what was read before."""
    after: str | None = None
    field = random.choice(FIELDS)
    while True:
        url = random.choice(urls)
        with contextlib.suppress(ConnectionClosed):
            after = await converse(url, field, random.expovariate(1 / 20), after)
        await asyncio.sleep(random.expovariate(1 / 2))
        if random.random() < 0.3:
            field, after = random.choice(FIELDS), None


async def event_stream(urls: list[str]) -> None:
    """Read results as an event stream."""
    async with httpx.AsyncClient(timeout=None) as http:
        while True:
            url = random.choice(urls).replace("ws:", "http:") + KNOWN
            request = {"query": "subscription { stock }"}
            headers = {"accept": "text/event-stream"}
            with contextlib.suppress(asyncio.TimeoutError, httpx.HTTPError):
                await asyncio.wait_for(_read(http, url, request, headers), random.uniform(5, 40))


async def _read(http: httpx.AsyncClient, url: str, request: Any, headers: Any) -> None:
    async with http.stream("POST", url, json=request, headers=headers) as response:
        async for _ in response.aiter_bytes():
            pass
    # It was refused.
    await asyncio.sleep(2)


async def slow(urls: list[str]) -> None:
    """Subscribe, and read nothing for some time."""
    while True:
        with contextlib.suppress(ConnectionClosed):
            async with connected(random.choice(urls) + KNOWN, max_queue=1) as client:
                query = {"query": "subscription { order }"}
                await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
                await asyncio.sleep(random.uniform(20, 60))
                client.transport.abort()


async def refused(urls: list[str]) -> None:
    """Connect without a token."""
    while True:
        with contextlib.suppress(ConnectionClosed):
            async with connected(random.choice(urls)):
                pass
        await asyncio.sleep(random.expovariate(1.0))


async def crowd(urls: list[str], seconds: float) -> None:
    """Run all clients for some time."""
    kinds = [(reader, 24), (event_stream, 4), (slow, 4), (refused, 1)]
    tasks = [asyncio.ensure_future(kind(urls)) for kind, count in kinds for _ in range(count)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
