"""X4: the engine comes back, and nodes want thousands of streams at once."""

from __future__ import annotations

import asyncio

import pytest
from deployment import ALL_ROWS
from support import PATIENCE, eventually

from fraiseql_subs import SubscriptionManager, passthrough

pytestmark = pytest.mark.faults

NODES = 3

STREAMS = 10_000 if ALL_ROWS else 2_000
"""Those of all nodes together (count)."""

BATCH = 500
"""Events that are published at once (count)."""

QUERY = "subscription ($channel: String!) { event(channel: $channel) }"

EVENT = passthrough("event", int, channel="{channel}", arguments={"channel": str})

MISSED = "missed"


class Follower:
    """A subscription to one stream, and what it was sent: numbers, and `MISSED`."""

    def __init__(self, node: SubscriptionManager, channel: str) -> None:
        self.channel = channel
        self.log: list[int | str] = []
        self._results = node.subscribe(
            QUERY, variables={"channel": channel}, extensions={"resume": {}}
        )

    async def begin(self) -> None:
        """Subscribe."""
        await self._results.__aenter__()
        first = await asyncio.wait_for(anext(self._results), PATIENCE)
        assert first.extensions["resume"]["missed"] is False

    async def receive(self, number: int) -> None:
        """Note what comes, until the event of a number does."""
        while number not in self.log:
            result = await asyncio.wait_for(anext(self._results), PATIENCE)
            assert result.errors is None, result
            if result.data is None:
                assert result.extensions["resume"]["missed"] is True
                self.log.append(MISSED)
            else:
                self.log.append(result.data["event"])

    async def end(self) -> None:
        """End the subscription."""
        await self._results.aclose()


@pytest.fixture
async def nodes(redis, stack) -> list[SubscriptionManager]:
    made = [
        SubscriptionManager([EVENT], bus=redis.url, workers=1, publish_timeout=PATIENCE)
        for _ in range(NODES)
    ]
    return [await stack.enter_async_context(node) for node in made]


async def test_all_streams_are_delivered_again_once_the_engine_is_back(nodes, redis, stack):
    followers = [Follower(nodes[n % NODES], f"c{n}") for n in range(STREAMS)]
    await asyncio.gather(*(follower.begin() for follower in followers))
    for follower in followers:
        stack.push_async_callback(follower.end)

    async def publish(number: int) -> None:
        events = [(follower.channel, number) for follower in followers]
        for start in range(0, len(events), BATCH):
            await nodes[start % NODES].publish_many(events[start : start + BATCH])

    async def receive(number: int) -> None:
        await asyncio.gather(*(follower.receive(number) for follower in followers))

    await publish(1)
    await receive(1)
    await redis.kill()
    await eventually(
        lambda: not any(node.metrics().bus_is_live for node in nodes), "nodes notice it"
    )
    await redis.start()
    # While streams are wanted again: each comes, or is told to be missed.
    await publish(2)
    await publish(3)
    await receive(3)
    logs = {tuple(follower.log) for follower in followers}
    assert logs <= {(1, MISSED, 2, 3), (1, MISSED, 3)}
