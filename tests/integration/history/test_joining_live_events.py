"""Subscriptions that begin, end and resume among live events miss none, and have none twice.

Each client is often the only one of its worker on the channel, so the worker begins and ends to
receive the channel's events again and again.
"""

from __future__ import annotations

import asyncio
import threading

from histories import FEED, KINDS, after, begin, every_kind, receive
from support import PATIENCE

from fraiseql_subs import History, SubscriptionManager

CLIENTS, ROUNDS, RESULTS = 6, 25, 4
"""Clients at once, subscriptions that each begins, and results that it reads of each (counts)."""

PAUSE = 0.0005
"""Pause between two events (seconds)."""


async def publish_until(stopped: threading.Event, manager: SubscriptionManager) -> dict[str, int]:
    """Publish 1, 2, 3 and so on; return the numbers by the ids of their events."""
    numbers: dict[str, int] = {}
    while not stopped.is_set():
        receipt = await manager.publish("feed", len(numbers) + 1)
        numbers[receipt.event_id] = len(numbers) + 1
        # Leaves time for the clients, which share the interpreter.
        await asyncio.sleep(PAUSE)
    return numbers


@every_kind
async def test_a_subscription_receives_all_events_after_its_position(kind, serve, connect):
    history = History(events=1_000_000, seconds=PATIENCE)
    manager = SubscriptionManager([KINDS[kind]()], workers=3, history=history)
    server = await serve(manager)
    begun: list[tuple[str, int]] = []

    async def begin_and_resume() -> None:
        client = await connect(server.url)
        for _ in range(ROUNDS):
            id, position = await begin(client)
            last, _ = await receive(client, id)
            begun.append((position, last))
            for _ in range(RESULTS):
                number, position = await receive(client, id)
                assert number == last + 1
                last = number
            await client.complete(id)
            while client.has_received:
                await client.receive()
            id = await client.subscribe(FEED, extensions=after(position))
            number, _ = await receive(client, id)
            assert number == last + 1
            await client.complete(id)
            while client.has_received:
                await client.receive()

    stopped = threading.Event()
    publishing = asyncio.ensure_future(
        asyncio.to_thread(asyncio.run, publish_until(stopped, manager))
    )
    try:
        await asyncio.gather(*(begin_and_resume() for _ in range(CLIENTS)))
    finally:
        stopped.set()
        numbers = await publishing
    assert all(numbers.get(position, 0) + 1 == first for position, first in begun)
