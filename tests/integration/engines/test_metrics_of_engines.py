"""Metrics of the engine have its name as a label, and the delay of events of other processes."""

from __future__ import annotations

from typing import Any

from fraiseql_subs import SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")


def found(manager: SubscriptionManager, name: str) -> list[dict[str, Any]]:
    samples = [sample for sample in manager.samples() if sample.name == name]
    return [{**sample.labels, "value": sample.value} for sample in samples]


async def test_events_of_another_process_are_timed_from_their_publisher(redis):
    reading = SubscriptionManager([feed], bus=redis.url)
    publishing = SubscriptionManager([feed], bus=redis.url)
    async with reading, publishing:
        async with reading.subscribe("subscription { feed }") as results:
            for n in range(3):
                await publishing.publish("feed", n)
                await results.__anext__()
        assert found(reading, "bus_delay_seconds") == [{"engine": "redis", "value": 3}]
        assert found(publishing, "bus_delay_seconds") == [{"engine": "redis", "value": 0}]
        assert found(reading, "bus_is_live") == [{"engine": "redis", "value": 1}]
