"""A manager that its owner has started outlives the applications that serve it."""

from __future__ import annotations

import httpx
import pytest
from servers import uvicorn

from fraiseql_subs import SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.starlette import create_subscription_app

QUERY = {"query": "{ __typename }"}


@pytest.mark.parametrize("make_app", [GraphQLApp, create_subscription_app])
async def test_an_application_that_ends_leaves_the_manager_of_its_owner_open(make_app):
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        for _ in range(2):
            async with (
                uvicorn(make_app(manager), lifespan="on") as host,
                httpx.AsyncClient() as http,
            ):
                response = await http.post(f"http://{host}/", json=QUERY)
                assert response.json() == {"data": {"__typename": "Query"}}
            await manager.publish("feed", 1)


async def test_an_application_closes_the_manager_that_it_has_started():
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    async with uvicorn(create_subscription_app(manager), lifespan="on"):
        await manager.publish("feed", 1)
    assert not manager._core.is_running
