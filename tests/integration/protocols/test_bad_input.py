"""Bad input gets a clear error that says what to do, and does not affect other operations."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from fraiseql_subs import (
    ConfigurationError,
    GraphQLError,
    Limits,
    PublishError,
    SchemaError,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)


@dataclass
class Order:
    id: int
    status: str


feed = passthrough("feed", int, channel="feed")


@pytest.fixture
def manager() -> SubscriptionManager:
    return SubscriptionManager([feed], limits=Limits(max_message_bytes=1000))


@pytest.fixture
async def neighbour(manager, serve, connect) -> Any:
    """A second subscriber that must not be affected; checked when the test ends."""
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { feed }")
    yield server
    await manager.publish("feed", 1)
    assert await client.receive_data(id) == {"feed": 1}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "Invalid message: it is not JSON (EOF"),
        ("[]", "Invalid message: it is no JSON object"),
        ("{}", "Invalid message: `type` is missing"),
        ('{"type": 7}', "Invalid message: `type` must be a string"),
        ('{"type": "hello"}', 'Invalid message: `type` "hello" is unknown'),
        (b"{}", "Invalid message: "),
        ('{"type": "subscribe", "id": "1"}', "Invalid message: `payload` is missing"),
        (
            '{"type": "subscribe", "id": "1", "payload": {}}',
            "Invalid message: `payload.query` is missing",
        ),
        (
            '{"type": "subscribe", "id": "", "payload": {"query": "{ a }"}}',
            "Invalid message: `id` is empty",
        ),
    ],
)
async def test_a_malformed_message_closes_only_its_connection(message, reason, neighbour, connect):
    client = await connect(neighbour.url)
    await client.send(message)
    assert (await client.expect_close(4400)).startswith(reason)


async def test_an_oversize_message_closes_with_1009_and_the_limit(neighbour, connect):
    client = await connect(neighbour.url)
    await client.send("x" * 1001)
    await client.expect_close(1009, "Messages may have at most 1000 bytes")


async def test_a_message_over_the_limit_in_fragments_is_refused_as_well(neighbour, connect):
    client = await connect(neighbour.url)
    await client.socket.send(["x" * 300] * 4)
    await client.expect_close(1009)


async def test_text_that_is_not_utf8_closes_with_1007(neighbour, connect):
    client = await connect(neighbour.url)
    # The client library refuses to encode it, so the test writes the frame itself.
    frame = Frame(Opcode.TEXT, b'{"type": "\xff"}').serialize(mask=True)
    client.socket.transport.write(frame)
    await client.expect_close(1007, "Text messages must be UTF-8")


@pytest.mark.parametrize(
    ("document", "variables", "message"),
    [
        ("subscription {", None, "Syntax Error"),
        ("subscription { unknown }", None, "unknown"),
        ("subscription { feed feed2: feed }", None, "exactly one top level field"),
        ("subscription { __typename }", None, "introspection top level field"),
        ("subscription($n: Int!) { feed }", None, "n"),
        ("mutation { a }", None, ""),
    ],
)
async def test_a_refused_document_ends_only_its_operation(
    document, variables, message, neighbour, connect, manager
):
    client = await connect(neighbour.url)
    id = await client.subscribe(document, variables)
    errors = await client.receive_errors(id)
    assert any(message.lower() in error["message"].lower() for error in errors), errors
    # The id may be used again, and the connection still works.
    await client.subscribe("{ __typename }", id=id)
    assert await client.receive_data(id) == {"__typename": "Query"}
    with pytest.raises(ValidationError) as refused:
        await anext(manager.subscribe(document, variables))
    assert [e["message"] for e in refused.value.errors] == [e["message"] for e in errors]


async def test_an_event_on_a_channel_without_subscribers_is_accepted(manager):
    async with manager:
        receipt = await manager.publish("nobody", {"id": 1})
        assert receipt.offset == 1


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"order": {"items": [1, object()]}}, r"data\.order\.items\[1\]"),
        ({"at": float("nan")}, r"data\.at"),
        ({1: 2}, "data"),
        (b"bytes", "data"),
        ({"when": lambda: 1}, r"data\.when"),
    ],
)
async def test_data_without_json_is_refused_with_its_place(data, place, manager):
    async with manager, manager.subscribe("subscription { feed }") as stream:
        with pytest.raises(PublishError, match=place):
            await manager.publish("feed", data)
        with pytest.raises(PublishError, match=r"events\[1\]"):
            await manager.publish_many([("feed", 1), ("feed", data)])
        await manager.publish("feed", 2)
        assert (await anext(stream)).data == {"feed": 2}


async def test_data_that_contains_itself_is_refused(manager):
    endless: list[Any] = []
    endless.append(endless)
    async with manager:
        with pytest.raises(PublishError, match="nested"):
            await manager.publish("feed", endless)


async def test_an_empty_channel_is_refused(manager):
    async with manager:
        with pytest.raises(PublishError, match="channel"):
            await manager.publish("", 1)


async def test_an_empty_event_id_is_refused(manager):
    """Otherwise all events with it would be one."""
    async with manager:
        with pytest.raises(PublishError, match="the event_id is empty"):
            await manager.publish("feed", 1, event_id="")


@pytest.mark.parametrize("event", [1, ("feed",), {"channel": "feed"}, {"data": 1}])
async def test_a_malformed_entry_of_a_batch_is_named_and_nothing_is_published(event, manager):
    async with manager, manager.subscribe("subscription { feed }") as stream:
        with pytest.raises(PublishError, match=r"events\[1\]"):
            await manager.publish_many([("feed", 1), event])
        await manager.publish("feed", 2)
        assert (await anext(stream)).data == {"feed": 2}


@pytest.mark.parametrize("debug", [False, True])
async def test_what_a_resolver_raises_is_logged_and_told_only_in_debug(debug, caplog):
    @subscription(channel="orders")
    async def order(event) -> Order:
        if event["id"] == 1:
            raise RuntimeError("secret")
        return event.data

    async with (
        SubscriptionManager([order], debug=debug) as manager,
        manager.subscribe("subscription { order { id } }") as stream,
    ):
        await manager.publish("orders", {"id": 1})
        await manager.publish("orders", {"id": 2})
        failed = await anext(stream)
        message = "RuntimeError: secret" if debug else "Internal server error"
        assert failed.data is None
        assert failed.errors[0]["message"] == message
        assert failed.errors[0]["path"] == ["order"]
        assert (await anext(stream)).data == {"order": {"id": 2}}
    assert "the resolver of order raised" in caplog.text
    assert 'raise RuntimeError("secret")' in caplog.text


async def test_a_graphql_error_reaches_the_client_with_its_extensions(caplog):
    @subscription(channel="orders")
    def order(event) -> Order | None:
        raise GraphQLError("sold out", extensions={"code": "GONE"})

    async with (
        SubscriptionManager([order]) as manager,
        manager.subscribe("subscription { order { id } }") as stream,
    ):
        await manager.publish("orders", {})
        result = await anext(stream)
    assert result.data == {"order": None}
    assert result.errors[0]["message"] == "sold out"
    assert result.errors[0]["extensions"] == {"code": "GONE"}
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, ["order"]),
        ("text", ["order"]),
        ({"id": "seven", "status": "PAID"}, ["order", "id"]),
        ([1], ["order"]),
        ({"id": 1}, ["order", "status"]),
        ({"id": 1, "status": {"a": 1}}, ["order", "status"]),
    ],
)
async def test_a_value_of_the_wrong_shape_is_an_error_with_a_path(value, path):
    @subscription(channel="orders")
    async def order(event) -> Order:
        return event.data

    async with (
        SubscriptionManager([order]) as manager,
        manager.subscribe("subscription { order { id status } }") as stream,
    ):
        await manager.publish("orders", value)
        result = await anext(stream)
        assert result.data is None
        assert result.errors[0]["path"] == path


async def test_a_resolver_that_never_returns_is_ended_by_its_timeout(within):
    cancelled = asyncio.Event()

    @subscription(channel="orders", timeout=1.0)
    async def order(event) -> int:
        if event.data == 1:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return event.data

    async with (
        SubscriptionManager([order]) as manager,
        manager.subscribe("subscription { order }") as stream,
    ):
        await manager.publish("orders", 1)
        await manager.publish("orders", 2)
        late = await anext(stream)
        assert "did not answer within 1 s" in late.errors[0]["message"]
        assert (await anext(stream)).data == {"order": 2}
        await within(cancelled.wait())
        assert manager.metrics().resolver_timeouts == 1


async def test_a_port_in_use_is_named(manager):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}") as refused:
            async with manager.serve(port=port):
                pass
        assert "in use" in str(refused.value)
    # No operation has remained half started.
    async with manager.serve(port=0, drain=0):
        pass


@pytest.mark.parametrize(
    ("sdl", "problem"),
    [
        ("type Query { a: Int }", "no subscription type"),
        ("type Query { a: Int } type Subscription { other: Int }", "feed"),
        ("type Query { a: Int } type Subscription { feed: Unknown }", "Unknown"),
        ("type Query {", "expected"),
    ],
)
def test_a_schema_that_does_not_fit_the_subscriptions_is_refused_at_once(sdl, problem):
    with pytest.raises(SchemaError, match=problem):
        SubscriptionManager([feed], schema=sdl)


def test_a_channel_template_without_its_argument_is_refused():
    with pytest.raises(SchemaError, match="userId"):
        SubscriptionManager([passthrough("feed", int, channel="feed.{userId}")])
