"""A manager that its owner has started outlives the applications that serve it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fraiseql_subs import ManagerClosed, SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.starlette import create_subscription_app

APPLICATIONS = pytest.mark.parametrize("make_app", [GraphQLApp, create_subscription_app])


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")])


@contextlib.asynccontextmanager
async def alive(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the life of an application, as ASGI servers do."""
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


@APPLICATIONS
async def test_an_application_that_ends_leaves_the_manager_of_its_owner_open(make_app):
    async with make_manager() as manager:
        for _ in range(2):
            async with alive(make_app(manager)) as client:
                response = await client.post("http://x/", json={"query": "{ __typename }"})
                assert response.json() == {"data": {"__typename": "Query"}}
            await manager.publish("feed", 1)


@APPLICATIONS
async def test_an_application_closes_the_manager_that_it_has_started(make_app):
    manager = make_manager()
    async with alive(make_app(manager)) as client:
        await client.post("http://x/", json={"query": "{ __typename }"})
        await manager.publish("feed", 1)
    with pytest.raises(ManagerClosed):
        await manager.publish("feed", 2)
