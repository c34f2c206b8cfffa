"""Text with a lone surrogate, which cannot be encoded as UTF-8: errors name the text."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support import eventually
from support.raw_http import handshake
from support.servers import aiohttp as behind_aiohttp
from support.urls import address_of

from fraiseql_subs import (
    JWT,
    RBAC,
    ConfigurationError,
    Federation,
    FraiseQLSubsError,
    Identity,
    PublishError,
    RowFilter,
    Scope,
    Security,
    SubscriptionManager,
    TenantIsolation,
    ValidationError,
    passthrough,
    subscription,
)
from fraiseql_subs.adapters._tasks import Peer

LONE = "a\ud800b"
SAYS = "lone surrogate"

feed = passthrough("feed", str, channel="feed")


@pytest.mark.parametrize(
    "options",
    [
        {"channel": LONE, "data": 1},
        {"channel": "feed", "data": LONE},
        {"channel": "feed", "data": {LONE: 1}},
        {"channel": "feed", "data": {"a": [{"b": LONE}]}},
        {"channel": "feed", "data": 1, "event_id": LONE},
        {"channel": "feed", "data": 1, "event_type": LONE},
        {"channel": "feed", "data": 1, "tenant_id": LONE},
    ],
)
async def test_publish_refuses_it(options):
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(PublishError, match=SAYS):
            await manager.publish(**options)
        with pytest.raises(PublishError, match=SAYS) as refused:
            await manager.publish_many([{"channel": "feed", "data": 1}, options])
        assert "events[1]" in str(refused.value)
        with pytest.raises(PublishError, match=SAYS):
            await manager.executor.publish_event(**options)
        assert manager.metrics().events_published == 0
        # A pair has two texts at most.
        if len(options) == 2:
            with pytest.raises(PublishError, match=SAYS):
                await manager.publish_many([(options["channel"], options["data"])])


@pytest.mark.parametrize("name", ["channel", "event_type", "tenant_id", "event_id"])
async def test_publish_refuses_what_is_no_text(name):
    options = {"channel": "feed", "data": 1, name: 5}
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(PublishError, match=f"{name}: pass a string, not an object of type"):
            await manager.publish(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"document": LONE},
        {"document": "subscription { feed }", "operation_name": LONE},
        {"document": "subscription { feed }", "variables": {"a": LONE}},
        {"document": "subscription { feed }", "variables": {LONE: 1}},
        {"document": "subscription { feed }", "extensions": {"resume": LONE}},
        {"document": "subscription { feed }", "identity": {"user_id": LONE}},
        {"document": "subscription { feed }", "identity": {"user_id": "u", "roles": [LONE]}},
        {"document": "subscription { feed }", "identity": {"user_id": "u", "tenant_id": LONE}},
    ],
)
async def test_subscribing_in_process_refuses_it(options):
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ConfigurationError, match=SAYS):
            async with manager.subscribe(**options):
                pass
        with pytest.raises(ConfigurationError, match=SAYS):
            await manager.executor.register_subscription(**options)


async def test_the_executor_refuses_ids():
    async with SubscriptionManager([feed]) as manager:
        executor = manager.executor
        with pytest.raises(ConfigurationError, match=SAYS):
            await executor.register_subscription("subscription { feed }", subscription_id=LONE)
        with pytest.raises(ConfigurationError, match="no subscription"):
            await executor.next_event(LONE)
        assert not await executor.complete_subscription(LONE)


async def test_disconnect_and_for_tenant_refuse_it():
    async with SubscriptionManager([feed]) as manager:
        for options in [
            {"tenant_id": LONE},
            {"connection_id": LONE},
            {"tenant_id": "t", "reason": LONE},
        ]:
            with pytest.raises(ConfigurationError, match=SAYS):
                await manager.disconnect(**options)
        with pytest.raises(ConfigurationError, match=SAYS):
            manager.for_tenant(LONE)
        with pytest.raises(ConfigurationError, match="Identity"):
            await manager.disconnect(identity={"user_id": "u"})


async def test_a_user_whose_id_is_a_number_can_be_disconnected():
    async with SubscriptionManager([feed]) as manager:
        assert (await manager.disconnect(identity=Identity(user_id=5))).closed == 0


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Identity(user_id=LONE),
        lambda: Identity(user_id="u", tenant_id=LONE),
        lambda: Identity(user_id="u", roles=[LONE]),
        lambda: Security(origins=[LONE]),
        lambda: Security(hosts=[LONE]),
        lambda: TenantIsolation(event_field=LONE),
        lambda: RowFilter(channel=LONE, where={"a": "$user_id"}),
        lambda: RowFilter(channel="c", where={LONE: "$user_id"}),
        lambda: RowFilter(channel="c", where={"a": LONE}),
        lambda: RowFilter(channel="c", where={"a": "$user_id"}, unless=LONE),
        lambda: Scope(arguments={LONE: "$user_id"}),
        lambda: Federation(subgraph=LONE),
        lambda: Federation(subgraph="s", channels=[LONE]),
        lambda: JWT(key=LONE, algorithms=["HS256"]),
        lambda: JWT(key="k" * 40, algorithms=["HS256"], issuer=LONE),
        lambda: JWT(key="k" * 40, algorithms=["HS256"], header=LONE),
        lambda: SubscriptionManager([passthrough(LONE, str, channel="c")]),
        lambda: SubscriptionManager([passthrough("a", str, channel=LONE)]),
        lambda: SubscriptionManager([passthrough("a", str, channel="c", description=LONE)]),
        lambda: SubscriptionManager([passthrough("a", str, channel="c", event_types=[LONE])]),
        lambda: SubscriptionManager([passthrough("a", str, channel="c", filter={LONE: 1})]),
        lambda: SubscriptionManager([passthrough("a", str, channel="c", filter={"a": LONE})]),
        lambda: SubscriptionManager([feed], transports=[LONE]),
        lambda: SubscriptionManager([feed], trusted_documents={LONE: "{ __typename }"}),
        lambda: SubscriptionManager([feed], trusted_documents={"1": LONE}),
        lambda: SubscriptionManager([feed], schema=f"type Subscription {{ feed: {LONE} }}"),
        lambda: SubscriptionManager([feed], security=Security(rbac=RBAC(fields={LONE: "p"}))),
        lambda: SubscriptionManager(
            [feed], security=Security(rbac=RBAC(subscriptions={"feed": LONE}))
        ),
    ],
)
def test_what_is_declared_refuses_it(declare):
    with pytest.raises(FraiseQLSubsError) as refused:
        declare()
    # It can be printed.
    str(refused.value).encode()


async def test_serving_refuses_it():
    for options in [{"host": LONE}, {"path": f"/{LONE}"}]:
        with pytest.raises(ConfigurationError, match=SAYS):
            async with SubscriptionManager([feed]).serve(port=0, **options):
                pass


async def test_a_header_that_is_no_utf8_is_taken(within):
    """Some servers decode it to lone surrogates."""
    manager = SubscriptionManager([feed])
    async with behind_aiohttp(manager) as url:
        reader, writer = await asyncio.open_connection(*address_of(url))
        writer.write(handshake("X-Name: a\xff"))
        assert b" 101 " in await within(reader.readline())
        await eventually(lambda: manager.metrics().connections == 1, "it is let in")
        writer.close()
        await writer.wait_closed()


async def test_a_result_with_it_is_an_error_of_its_field():
    @subscription(channel="events")
    def text(event) -> str | None:
        return LONE

    async with (
        SubscriptionManager([text]) as manager,
        manager.subscribe("subscription { text }") as s,
    ):
        await manager.publish("events", 1)
        result = await anext(s)
        assert result.data == {"text": None}
        assert "String cannot represent" in result.errors[0]["message"]


async def test_a_client_cannot_send_it():
    """JSON may write one as an escape, which the core does not accept as text."""
    async with SubscriptionManager([feed]) as manager:
        connection = manager._core.connect(["graphql-transport-ws"], Peer())
        connection.receive_text(json.dumps({"type": LONE}))
        received: list[Any] = []
        while not received:
            batch = connection.take()
            if isinstance(batch, asyncio.Future):
                await batch
            else:
                received += batch or [None]
        assert received[-1][0] == 4400
        connection.closed()


async def test_a_document_is_refused_for_what_it_says():
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ValidationError):
            async with manager.subscribe("subscription { nothing }"):
                pass
