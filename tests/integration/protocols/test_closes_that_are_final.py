"""Close codes that the npm client graphql-ws treats as final, by default and with our setting."""

from __future__ import annotations

from typing import Any

import pytest
from support.authentication import Admitting, refuse
from support.node import NodeProcess

from fraiseql_subs import Identity, Security, SubscriptionManager, passthrough

QUERY = "subscription { feed }"


def make_manager(accepts: bool = True) -> SubscriptionManager:
    feed = passthrough("feed", int, channel="feed")
    hook = Admitting() if accepts else refuse
    return SubscriptionManager([feed], security=Security(authenticate=hook))


def run(url: str, told: bool = False) -> Any:
    return NodeProcess.run("closes.mjs", url, QUERY, "true" if told else "false")


@pytest.mark.parametrize("code", [4400, 4401, 4406, 4409, 4429, 4500])
async def test_a_client_does_not_come_back_after_a_final_code(code, serve):
    manager = make_manager()
    server = await serve(manager)
    async with run(server.url) as client:
        assert await client.read() == {"opened": True}
        assert (
            await manager.disconnect(identity=Identity("ada"), code=code, reason="over")
        ).closed == 1
        assert await client.read() == {"closed": code}
        assert await client.read() == {"ended": {"code": code, "reason": "over"}}


@pytest.mark.parametrize("code", [1000, 4403, 4408, 4999])
async def test_a_client_that_subscribes_comes_back_after_any_other_code(code, serve):
    manager = make_manager()
    server = await serve(manager)
    async with run(server.url) as client:
        assert await client.read() == {"opened": True}
        assert (await manager.disconnect(identity=Identity("ada"), code=code)).closed == 1
        assert await client.read() == {"closed": code}
        assert await client.read() == {"opened": True}


async def test_a_client_that_was_refused_tries_again_by_its_own_rules(serve):
    server = await serve(make_manager(accepts=False))
    async with run(server.url) as client:
        for _ in range(3):
            assert await client.read() == {"closed": 4403}


async def test_a_client_with_should_retry_treats_4403_as_final(serve):
    server = await serve(make_manager(accepts=False))
    async with run(server.url, told=True) as client:
        assert await client.read() == {"closed": 4403}
        assert await client.read() == {"ended": {"code": 4403, "reason": "Forbidden"}}
