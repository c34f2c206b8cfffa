"""X5: clients come and go on a stream: who was confirmed gets what is published after that."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from support import PATIENCE, eventually
from support.redis_server import RedisServer

from fraiseql_subs import SubscriptionManager, passthrough

pytestmark = pytest.mark.faults

TURNS = 1_000
"""Subscriptions that begin and end (count)."""

AT_ONCE = 8
"""How many are there at a time (count)."""

QUERY = "subscription ($channel: String!) { event(channel: $channel) }"

EVENT = passthrough("event", int, channel="{channel}", arguments={"channel": str})


@pytest.fixture
async def nodes(redis: RedisServer, stack) -> list[SubscriptionManager]:
    """One that serves, and one that publishes."""
    made = [
        SubscriptionManager([EVENT], bus=redis.url, workers=1, publish_timeout=PATIENCE)
        for _ in range(2)
    ]
    return [await stack.enter_async_context(node) for node in made]


def subscribe(node: SubscriptionManager, channel: str):
    return node.subscribe(QUERY, variables={"channel": channel}, extensions={"resume": {}})


async def receives(results, number: int) -> bool:
    """Wait for the event of a number; return False when it may be missing, as the client is told.

    Others may come before it.
    """
    while True:
        result = await asyncio.wait_for(anext(results), PATIENCE)
        assert result.errors is None, result
        if result.data == {"event": number}:
            return True
        if result.data is None and result.extensions["resume"]["missed"]:
            return False


@pytest.mark.parametrize("channels", [1, TURNS], ids=["one stream", "a new stream each time"])
@pytest.mark.parametrize("is_cut", [False, True], ids=["links stay", "links are cut"])
async def test_who_subscribes_gets_what_is_published_next(nodes, redis, channels, is_cut):
    """Also while links are made again; who has waited too long for that is told."""
    node, publisher = nodes
    numbers = itertools.count()

    async def come_and_go() -> None:
        for number in numbers:
            if number >= TURNS:
                return
            if is_cut and number % 250 == 100:
                await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            channel = f"c{number % channels}"
            async with subscribe(node, channel) as results:
                await publisher.publish(channel, number)
                assert await receives(results, number) or is_cut

    await asyncio.gather(*(come_and_go() for _ in range(AT_ONCE)))


@pytest.mark.slow_fault
async def test_streams_are_wanted_again_when_they_are_given_up(nodes):
    """A node ends a stream some time after the last client has left."""
    node, publisher = nodes
    channels = [f"c{number}" for number in range(500)]

    async def follow(channel: str) -> None:
        async with subscribe(node, channel) as results:
            await publisher.publish(channel, 1)
            assert await receives(results, 1)

    await asyncio.gather(*map(follow, channels))
    for _ in range(3):

        def are_given_up() -> bool:
            return node.metrics().bus_streams < len(channels)

        await eventually(are_given_up, "the node ends the streams")
        await asyncio.gather(*map(follow, channels))
