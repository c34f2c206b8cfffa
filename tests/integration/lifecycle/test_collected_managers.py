"""Unused managers are garbage collected, also if their resolvers refer to them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from fraiseql_subs import Identity, Security, SubscriptionManager, subscription


def manager_in_a_circle() -> SubscriptionManager:
    known: list[Any] = []

    async def authenticate(params) -> Identity:
        return Identity(str(known))

    @subscription(channel="numbers", initial=lambda: len(known))
    async def number(event) -> int:
        await known[0].publish("others", 1)
        return event.data

    known.append(SubscriptionManager([number], security=Security(authenticate=authenticate)))
    return known[0]


@pytest.mark.parametrize("life", ["built", "started and closed", "used and closed"])
async def test_a_manager_whose_functions_refer_to_it_is_freed(life):
    manager = manager_in_a_circle()
    if life != "built":
        async with manager:
            if life == "used and closed":
                async with manager.subscribe("subscription { number }") as results:
                    await manager.publish("numbers", 1)
                    assert (await anext(results)).data == {"number": 1}, "the initial result"
                    # A resolver that is still running at the end is logged with its traceback,
                    # whose frames refer to the manager.
                    assert (await anext(results)).data == {"number": 1}, "the event"
                del results
    known = weakref.ref(manager)
    del manager
    for _ in range(3):
        gc.collect()
    assert known() is None
