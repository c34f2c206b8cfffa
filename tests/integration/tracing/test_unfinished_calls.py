"""Spans of calls that never take a step: they end too."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

from support import eventually
from support.spans import Exported

from fraiseql_subs import SubscriptionManager, subscription


async def test_the_span_of_a_stream_ends_that_is_cancelled_before_its_first_step():
    cancelled: list[asyncio.Task[Any]] = []

    def start(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        if type(coroutine).__module__ == "fraiseql_subs._call_spans":
            # As when the client leaves now.
            task.cancel()
            cancelled.append(task)
        return task

    @subscription
    async def count() -> AsyncIterator[int]:
        yield 1

    spans = Exported()
    asyncio.get_running_loop().set_task_factory(start)
    manager = SubscriptionManager([count], tracing=spans.tracing)
    async with manager:
        async with manager.subscribe("subscription { count }"):
            await eventually(lambda: bool(cancelled), "the stream is cancelled")
        cancelled.clear()

        def has_ended() -> bool:
            gc.collect()
            return spans.names == ["stream count"]

        await eventually(has_ended, "its span has ended")
