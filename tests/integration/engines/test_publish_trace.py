"""`fraiseql-subs publish` passes on the trace of the program that has called it."""

from __future__ import annotations

from typing import Any

import pytest
from nodes import take
from publishing_command import publish
from support.publishing import KEY
from support.redis_server import RedisServer

from fraiseql_subs import Event, SubscriptionManager, subscription
from fraiseql_subs.commands._publish_trace import CallersTrace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"

APP = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from fraiseql_subs import SubscriptionManager, passthrough

declared = [passthrough("feed", int, channel="feed")]
plain = SubscriptionManager(declared, bus={bus!r})

def traced():
    trace.set_tracer_provider(TracerProvider())
    return plain
"""


@subscription(channel="feed")
async def carried(event: Event) -> list[str | None]:
    return [event.traceparent, event.tracestate]


def node(**options: Any) -> SubscriptionManager:
    return SubscriptionManager([carried], workers=1, **options)


@pytest.mark.parametrize("target", ["--to", "plain", "traced"])
async def test_an_event_to_an_engine_carries_it(redis: RedisServer, tmp_path, target):
    (tmp_path / "shop.py").write_text(APP.format(bus=redis.url))
    of_module = ("--target", f"shop:{target}", "--app-dir", str(tmp_path))
    where = ("--to", redis.url) if target == "--to" else of_module
    async with node(bus=redis.url) as manager, manager.subscribe("subscription { carried }") as got:
        status, _, err = await publish("feed", "7", *where, TRACEPARENT=PARENT, TRACESTATE="a=1")
        assert (status, err) == (0, "")
        (event,) = await take(got, 1)
    if target == "traced":
        # Its own span, which is a child.
        version, trace, span, flags = event[0].split("-")
        assert (version, trace, flags, event[1]) == ("00", TRACE, "01", "a=1") and span != SPAN
    else:
        assert event == [PARENT, "a=1"]


@pytest.mark.parametrize("state", ["a=1,b=2", ""])
async def test_an_event_to_a_server_carries_it(state):
    async with node() as manager, manager.serve(port=0, publish_key=KEY) as server:
        async with manager.subscribe("subscription { carried }") as got:
            status, _, err = await publish(
                *("feed", "7", "--to", server.publish_url),
                FRAISEQL_SUBS_PUBLISH_KEY=KEY,
                TRACEPARENT=PARENT,
                TRACESTATE=state,
            )
            assert (status, err) == (0, "")
            assert await take(got, 1) == [[PARENT, state or None]]


@pytest.mark.parametrize(
    ("parent", "state"),
    [
        (f"01-{TRACE}-{SPAN}-01-x\rfoo: bar", "a=1"),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 100_000}", "a=1"),
        (PARENT, f"a={'x' * 65_887}"),
        (PARENT, "a=1\nfoo: bar"),
    ],
    ids=["control", "long", "state-long", "state-control"],
)
async def test_a_malformed_trace_does_not_cost_the_event(parent, state):
    async with node() as manager, manager.serve(port=0, publish_key=KEY) as server:
        async with manager.subscribe("subscription { carried }") as got:
            status, _, err = await publish(
                *("feed", "7", "--to", server.publish_url),
                FRAISEQL_SUBS_PUBLISH_KEY=KEY,
                TRACEPARENT=parent,
                TRACESTATE=state,
            )
            assert (status, err) == (0, "")
            assert await take(got, 1) == [[PARENT if parent == PARENT else None, None]]


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        PARENT.upper(),
        f"{PARENT}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
    ],
)
def test_what_is_no_trace_is_left_out(monkeypatch, parent):
    monkeypatch.setenv("TRACEPARENT", parent)
    monkeypatch.setenv("TRACESTATE", "a=1")
    assert CallersTrace.of_environment() is None


async def test_without_a_trace_the_event_has_none(redis: RedisServer):
    async with node(bus=redis.url) as manager, manager.subscribe("subscription { carried }") as got:
        variables = {"TRACEPARENT": "nonsense", "TRACESTATE": "a=1"}
        status, _, err = await publish("feed", "7", "--to", redis.url, **variables)
        assert (status, err) == (0, "")
        assert await take(got, 1) == [[None, None]]


async def test_a_later_version_is_passed_on_as_this_one(redis: RedisServer):
    async with node(bus=redis.url) as manager, manager.subscribe("subscription { carried }") as got:
        parent = f"01-{TRACE}-{SPAN}-01-more"
        assert (await publish("feed", "7", "--to", redis.url, TRACEPARENT=parent))[0] == 0
        assert await take(got, 1) == [[PARENT, None]]
