"""Clients that send very many different documents."""

from __future__ import annotations

import pytest

from fraiseql_subs import SubscriptionManager, passthrough

SDL = "type Query { ok: Boolean } type Row { a: Int b: Int } type Subscription { row: Row }"

pytestmark = pytest.mark.attack


async def test_subscriptions_live_on_when_their_documents_have_left_the_cache() -> None:
    async with (
        SubscriptionManager([passthrough("row", channel="row")], schema=SDL) as manager,
        manager.subscribe("subscription First { row { a } }") as first,
        manager.subscribe("subscription Second { row { other: b } }") as second,
    ):
        executor = manager.executor
        for number in range(3_000):
            text = f"subscription S{number} {{ row {{ a b }} }}"
            await executor.complete_subscription(await executor.register_subscription(text))
        await manager.publish("row", {"a": 1, "b": 2})
        assert (await anext(first)).data == {"row": {"a": 1}}
        assert (await anext(second)).data == {"row": {"other": 2}}
        # The same document again, parsed anew.
        async with manager.subscribe("subscription First { row { a } }") as again:
            await manager.publish("row", {"a": 3, "b": 4})
            assert (await anext(again)).data == {"row": {"a": 3}}
            assert (await anext(first)).data == {"row": {"a": 3}}
