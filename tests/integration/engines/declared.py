"""The schema that every node of these tests serves, and the program of a node in a process."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from fraiseql_subs import SKIP, Context, Event, SubscriptionManager, passthrough, subscription

feed = passthrough("feed", int, channel="feed")
any_channel = passthrough("anyChannel", int, channel="{channel}", arguments={"channel": str})


@subscription(channel="orders", event_types=["placed", "paid"], filter={"user_id": "$userId"})
async def order(event: Event, *, user_id: int | None = None) -> str:
    return f"{event.event_type} {event['id']}"


@subscription(channel="feed")
async def even(event: Event) -> int:
    return SKIP if event.data % 2 else event.data


@subscription(channel="feed", shared=True)
async def shared(event: Event) -> int:
    return event.data


@subscription(channel="feed", initial=lambda: 0)
async def counted(event: Event) -> int:
    return event.data


@subscription(channel="feed")
async def caller(event: Event, context: Context) -> str:
    assert context.identity is not None
    return f"{context.identity.user_id} {event.data}"


@subscription(channel="envelopes")
async def envelope(event: Event) -> list[str | None]:
    return [event.id, event.event_type, event.tenant_id, str(event.offset), event.channel]


SUBSCRIPTIONS = [feed, any_channel, order, even, shared, counted, caller, envelope]


def node(bus: str, **options: Any) -> SubscriptionManager:
    """Make a node."""
    return SubscriptionManager(SUBSCRIPTIONS, bus=bus, **{"workers": 1, **options})


async def serve(bus: str) -> None:
    """Serve a node, and publish the events of stdin; prints the port, then each receipt."""
    manager = node(bus)
    async with manager.serve(port=0, drain=0.0) as server:
        print(server.url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            events = [each if isinstance(each, dict) else tuple(each) for each in json.loads(line)]
            receipts = await manager.publish_many(events)
            told = [(receipt.event_id, receipt.position) for receipt in receipts]
            print(json.dumps(told), flush=True)
