"""Slow clients of event streams and multipart bodies: the policy is equal behind every server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx
import pytest
from support import PATIENCE
from support.progress import clients_left, disconnect_slow_consumer, publish_until
from support.response_bodies import Events, Parts
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import Limits, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack

SDL = "scalar JSON type Query { ok: Boolean } type Subscription { feed: JSON other: Int }"
BIG = "x" * 50_000
Stream: TypeAlias = Events | Parts
FORMS: dict[str, tuple[str, Any]] = {
    "events": ("text/event-stream", Events),
    "parts": ("multipart/mixed;subscriptionSpec=1.0", Parts),
}


@pytest.fixture(params=HTTP_SERVERS)
def serve(request) -> Any:
    """Serve a manager; yields the URL for WebSocket clients."""
    return SERVERS[request.param]


@pytest.fixture(params=FORMS)
def form(request) -> tuple[str, Any]:
    return FORMS[request.param]


def make_manager(policy: str) -> SubscriptionManager:
    limits = Limits(slow_consumer=policy, max_pending_bytes=200_000)
    feeds = [passthrough("feed", channel="feed"), passthrough("other", channel="other")]
    return SubscriptionManager(feeds, schema=SDL, limits=limits)


@asynccontextmanager
async def subscribed(url: str, field: str, form: tuple[str, Any]) -> AsyncIterator[Stream]:
    """Subscribe; httpx reads from its socket only on request."""
    accept, make_body = form
    request = {"query": f"subscription {{ {field} }}"}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", http_url(url), json=request, headers={"accept": accept}) as response,
    ):
        body = make_body(response.aiter_text())
        if isinstance(body, Events):
            # The position, which is not an event.
            await body.next_block()
        yield body


async def test_a_client_that_never_reads_is_disconnected_and_affects_no_other(serve, form):
    manager = make_manager("disconnect")
    async with serve(manager) as url, subscribed(url, "other", FORMS["events"]) as healthy:
        async with subscribed(url, "feed", form) as deaf:
            await disconnect_slow_consumer(manager, "feed", BIG)
            await manager.publish("other", 1)
            assert isinstance(healthy, Events)
            assert (await healthy.next_event())["data"] == {"data": {"other": 1}}
            # Its socket is ended although much data is pending.
            await clients_left(manager, 1)
            # If the client reads on, the last data must not look like a normal end.
            received = []
            with pytest.raises((httpx.TransportError, AssertionError)) as ended:
                while True:
                    received.append(await message(deaf))
            if isinstance(deaf, Events):
                assert {event["event"] for event in received} <= {"next"}
            elif ended.type is AssertionError:
                errors = [{"message": "Results were taken too slowly"}]
                assert received[-1] == {"payload": None, "errors": errors}


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
async def test_a_client_that_reads_late_gets_whole_results_in_order_up_to_the_newest(
    policy, serve, form
):
    manager = make_manager(policy)
    async with serve(manager) as url, subscribed(url, "feed", form) as slow:
        count = await publish_until(
            manager,
            lambda: manager.metrics().results_dropped >= 10,
            "results are dropped",
            "feed",
            lambda number: {"n": number, "text": BIG},
        )
        seen: list[int] = []
        while not seen or seen[-1] != count - 1:
            seen.append((await read(slow))["data"]["feed"]["n"])
        assert seen == sorted(set(seen))
        metrics = manager.metrics()
        assert metrics.results_dropped == count - len(seen)
        assert metrics.slow_consumer_disconnects == 0


async def message(body: Stream) -> Any:
    """Return the next event, or the JSON of the next part."""
    return await (body.next_event() if isinstance(body, Events) else body.next_part())


async def read(body: Stream) -> Any:
    """Return the next result."""
    received = await message(body)
    return received["data" if isinstance(body, Events) else "payload"]
