"""ASGI applications without a server: their lifespans, and requests to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.starlette import create_subscription_app

APPLICATIONS = pytest.mark.parametrize("make_app", [GraphQLApp, create_subscription_app])


@contextlib.asynccontextmanager
async def alive(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the lifespan of an application, like an ASGI server."""
    received: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    sent: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "state": {}}, received.get, sent.put))
    await received.put({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield client
    await received.put({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await life
