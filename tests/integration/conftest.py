"""Fixtures of the integration tests: real sockets on free ports, closed when a test ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
from support import PATIENCE
from support.protocol_client import ProtocolClient

from fraiseql_subs import Limits, Server, SubscriptionManager

Serve: TypeAlias = Callable[..., Awaitable[Server]]
Connect: TypeAlias = Callable[..., Awaitable[ProtocolClient]]


@pytest.fixture(autouse=True)
def patient_handshakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give clients more than 3 s for `connection_init`, unless a test says otherwise.

    On a busy machine a client of this process may need longer.
    """
    defaults = Limits.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "connection_init_timeout", PATIENCE)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test has opened, the newest first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def serve(stack: AsyncExitStack) -> Serve:
    """Serve a manager on a free port: `server = await serve(manager)`."""

    async def start(manager: SubscriptionManager, **options: Any) -> Server:
        server = manager.serve(port=0, **{"drain": 0.0, **options})
        return await stack.enter_async_context(server)

    return start


@pytest.fixture
async def connect(stack: AsyncExitStack) -> Connect:
    """Connect an acknowledged client: `client = await connect(server.url)`."""

    async def open_client(
        url: str, payload: dict[str, Any] | None = None, *, init: bool = True, **options: Any
    ) -> ProtocolClient:
        client = await ProtocolClient.connect(url, **options)
        stack.push_async_callback(client.close)
        if init:
            await client.init(payload)
        return client

    return open_client


@pytest.fixture
def within() -> Callable[[Awaitable[Any]], Awaitable[Any]]:
    """Await with a time limit: `await within(event.wait())`."""

    def wait(awaitable: Awaitable[Any]) -> Awaitable[Any]:
        return asyncio.wait_for(awaitable, PATIENCE)

    return wait
