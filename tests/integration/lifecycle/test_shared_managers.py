"""A manager that its owner has started is not closed by the applications that serve it."""

from __future__ import annotations

import pytest
from support.applications import APPLICATIONS, alive

from fraiseql_subs import ManagerClosed, SubscriptionManager, passthrough


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")])


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
