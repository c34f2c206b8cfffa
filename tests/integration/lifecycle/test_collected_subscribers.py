"""What a subscriber in the process passes is freed with it, also if it refers to the results."""

from __future__ import annotations

import contextvars
import gc
import weakref

from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough

current: contextvars.ContextVar[Page | None] = contextvars.ContextVar("current", default=None)


class Page:
    """Shows results, and is their context."""

    def __init__(self, manager: SubscriptionManager) -> None:
        current.set(self)
        self.results = manager.subscribe("subscription { feed }", context=self)
        current.set(None)

    async def show_one(self, manager: SubscriptionManager) -> None:
        async with self.results:
            await manager.publish("feed", 1)
            assert (await anext(self.results)).data == {"feed": 1}


async def test_a_context_that_has_the_results_is_freed():
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:

        async def shown() -> weakref.ref[Page]:
            page = Page(manager)
            await page.show_one(manager)
            return weakref.ref(page)

        page = await shown()
        await eventually(lambda: gc.collect() is not None and page() is None, "it is freed")
