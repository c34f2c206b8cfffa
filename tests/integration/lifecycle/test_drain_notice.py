"""A drain that waits for operations logs their number."""

from __future__ import annotations

import asyncio
import logging

import pytest
from support import PATIENCE, eventually

from fraiseql_subs import SubscriptionManager, passthrough, subscription


@subscription
async def endless():
    await asyncio.Event().wait()
    yield 1


SCHEMA = "type Subscription { endless: Int feed: Int }"


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([endless, passthrough("feed", channel="feed")], schema=SCHEMA)


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.INFO, logger="fraiseql_subs")

    def read() -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.INFO and record.getMessage().startswith("draining")
        ]

    return read


async def test_operations_that_delay_the_drain_are_logged(told, connect):
    manager = make_manager()
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        for field in ("endless", "endless", "feed"):
            await client.subscribe(f"subscription {{ {field} }}")
        await eventually(lambda: manager.metrics().subscriptions == 3, "all are subscribed")
        closing = asyncio.create_task(manager.close(drain=PATIENCE))
        await eventually(told, "what holds the drain is told")
        (text,) = told()
        assert text.startswith("draining: 2 operations under way have up to ")
        assert text.endswith(" s to end")
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing


async def test_in_process_operations_that_delay_the_drain_are_logged(told):
    manager = make_manager()
    async with manager.subscribe("subscription { endless }"):
        closing = asyncio.create_task(manager.close(drain=PATIENCE))
        await eventually(told, "what holds the drain is told")
        assert told()[0].startswith("draining: 1 operation under way has up to ")
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
