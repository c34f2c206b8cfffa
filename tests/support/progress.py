"""Waits for the progress of a manager, by its metrics."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from fraiseql_subs import SubscriptionManager
from support.waiting import PATIENCE, eventually


async def clients_left(manager: SubscriptionManager, remaining: int = 0) -> None:
    """Return when the server has noticed that all but `remaining` clients have disconnected."""
    await eventually(
        lambda: manager.metrics().connections == remaining,
        f"all clients but {remaining} are gone" if remaining else "all clients are gone",
    )


async def settled(manager: SubscriptionManager) -> None:
    """Return when no client is connected and no subscription runs."""
    await clients_left(manager)
    await eventually(lambda: not manager.metrics().subscriptions, "nothing runs")


async def recorded(manager: SubscriptionManager) -> None:
    """Return when the history has all events that were published before."""
    accepted = manager.metrics().events_accepted
    await eventually(
        lambda: manager.metrics().events_published >= accepted, "the history has all events"
    )


async def disconnect_slow_consumer(manager: SubscriptionManager, channel: str, data: Any) -> None:
    """Publish to a client that does not read, until the manager disconnects it."""
    await publish_until(
        manager,
        lambda: manager.metrics().slow_consumer_disconnects,
        "the slow consumer is disconnected",
        channel,
        lambda number: data,
    )


async def publish_until(
    manager: SubscriptionManager,
    condition: Callable[[], object],
    what: str,
    channel: str,
    make: Callable[[int], Any],
) -> int:
    """Publish `make(0)`, `make(1)` and so on until `condition()`; return how many were published.

    The buffers of both sides are filled first; their size differs between machines.
    """

    async def publish() -> int:
        for number in itertools.count():
            if condition():
                return number
            await manager.publish(channel, make(number))
            await asyncio.sleep(0)
        raise AssertionError("numbers do not end")

    try:
        return await asyncio.wait_for(publish(), PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"published for {PATIENCE:g} s in vain until {what}") from None
