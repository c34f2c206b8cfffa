"""The log says of each connection and operation how it began, and why it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually
from support.heard import Heard, heard_at
from support.progress import disconnect_slow_consumer, publish_until
from support.protocol_client import ProtocolClient

from fraiseql_subs import (
    RBAC,
    Event,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)

TOKEN = "an-example-token"
STANDARD = ("connection", "operation", "field", "event", "user", "tenant", "trace")
ticks = passthrough("ticks", int, channel="ticks", arguments={"place": str | None})
texts = passthrough("texts", str, channel="texts")


@pytest.fixture
def heard() -> Iterator[Heard]:
    with heard_at(logging.DEBUG) as heard:
        yield heard


async def authenticate(params: Any) -> Identity | None:
    return Identity("ada", tenant_id="acme")


def make_manager(*declared: Any, **options: Any) -> SubscriptionManager:
    return SubscriptionManager(
        list(declared) or [ticks], security=Security(authenticate=authenticate), **options
    )


async def test_a_connection_is_opened_accepted_and_ended(heard, serve, connect):
    server = await serve(make_manager())
    client = await connect(server.url, {"token": TOKEN})
    id = await client.subscribe("subscription { ticks }")
    await client.complete(id)
    await client.close()
    (ended,) = await heard.wait("connection.ended")
    (opened,), (accepted,) = heard.of("connection.opened"), heard.of("connection.accepted")
    (started,), (completed,) = heard.of("operation.started"), heard.of("operation.ended")
    assert opened.fields["protocol"] == "graphql-transport-ws" and opened.fields["peer"]
    assert (opened.user, opened.tenant) == (None, None)
    for record in (accepted, started, completed, ended):
        assert (record.connection, record.user, record.tenant) == (
            opened.connection,
            "ada",
            "acme",
        )
    for record in (started, completed):
        assert (record.operation, record.field) == (id, "ticks")
    assert completed.fields["reason"] == "the client has ended it"
    assert ended.fields["reason"] == "the client has left"
    assert {record.name for record in heard.of("connection.opened", "operation.ended")} == {
        "fraiseql_subs.connections"
    }


async def test_a_connection_that_the_server_closes_has_the_code_and_the_reason(
    heard, serve, connect
):
    manager = make_manager()
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { ticks }")
    await manager.disconnect(identity=Identity("ada"), code=4403, reason="Signed out")
    await client.expect_close(4403)
    (ended,) = await heard.wait("connection.ended")
    assert ended.fields["code"] == "4403" and ended.fields["reason"] == "Signed out"
    (operation,) = heard.of("operation.ended")
    assert operation.operation == id
    assert operation.fields["reason"] == "its connection has ended"


async def test_each_end_of_an_operation_has_its_reason(heard, serve, connect):
    @subscription
    async def few() -> Any:
        yield 1

    manager = SubscriptionManager(schema="type Query { a: Int } type Subscription { few: Int }")
    manager.subscription(few)
    server = await serve(manager)
    client = await connect(server.url)
    await client.subscribe("subscription { few }", id="complete")
    await heard.wait("operation.ended")
    await client.subscribe("subscription { unknown }", id="refused")
    (refused,) = await heard.wait("operation.refused")
    assert refused.fields == {
        "connection": refused.connection,
        "operation": "refused",
        "errors": "1",
        "code": "GRAPHQL_VALIDATION_FAILED",
    }
    (ended,) = heard.of("operation.ended")
    assert (ended.operation, ended.fields["reason"]) == ("complete", "it is complete")


async def test_operations_that_a_drain_ends_say_so(heard, connect):
    manager = make_manager()
    async with manager.serve(port=0, drain=PATIENCE) as server:
        client = await connect(server.url)
        await client.subscribe("subscription { ticks }")
    await client.expect_close(1001)
    (operation,), (connection,) = heard.of("operation.ended"), heard.of("connection.ended")
    assert operation.fields["reason"] == "the server drains"
    assert connection.fields["code"] == "1001"


def in_process(**options: Any) -> tuple[SubscriptionManager, Any]:
    manager = SubscriptionManager([ticks], **options)
    identity = Identity("ada", tenant_id="acme")
    return manager, manager.subscribe("subscription { ticks }", identity=identity)


async def test_an_in_process_subscriber_is_written_too(heard):
    manager, results = in_process()
    async with manager:
        async with results:
            await manager.publish("ticks", 1)
            await anext(results)
            assert not heard.of("operation.ended")
        (ended,) = await heard.wait("operation.ended")
        (started,) = heard.of("operation.started")
    for record in (started, ended):
        told = [getattr(record, name) for name in ("user", "tenant", "field", "connection")]
        assert told == ["ada", "acme", "ticks", None]
        assert (record.operation, record.name) == (None, "fraiseql_subs.connections")
    assert ended.fields["reason"] == "the client has ended it"


async def test_the_end_of_an_in_process_subscriber_has_its_reason(heard):
    manager, results = in_process()
    async with manager:
        await manager.publish("ticks", 1)
        receiving = asyncio.ensure_future(anext(results, None))
        await heard.wait("operation.started")
        await manager.close(drain=PATIENCE)
        await receiving
    (ended,) = await heard.wait("operation.ended")
    assert ended.fields["reason"] == "the server drains"

    @subscription
    async def few() -> AsyncIterator[int]:
        yield 1

    manager = SubscriptionManager([few])
    async with manager, manager.subscribe("subscription { few: few }") as results:
        assert [result.data async for result in results] == [{"few": 1}]
    assert heard.of("operation.ended")[-1].fields["reason"] == "it is complete"
    assert len(heard.of("operation.ended")) == len(heard.of("operation.started")) == 2


async def test_an_in_process_operation_that_is_refused_is_written(heard):
    manager, results = in_process(security=Security(rbac=RBAC(subscriptions={"ticks": "read"})))
    async with manager:
        with pytest.raises(ValidationError):
            await anext(results)
        (refused,) = await heard.wait("operation.refused")
    assert (refused.user, refused.connection, refused.operation) == ("ada", None, None)
    assert refused.fields["code"] == "FORBIDDEN"
    assert not heard.of("operation.started", "operation.ended")


async def test_an_event_stream_is_a_connection_too(heard, serve):
    server = await serve(make_manager())
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as http,
        http.stream(
            "POST",
            server.http_url,
            json={"query": "subscription { ticks }"},
            headers={"accept": "text/event-stream"},
        ),
    ):
        (started,) = await heard.wait("operation.started")
        (opened,) = heard.of("connection.opened")
        assert opened.fields["protocol"] == "http"
        assert (started.connection, started.field) == (opened.connection, "ticks")
    (ended,) = await heard.wait("connection.ended")
    assert ended.connection == opened.connection


async def test_the_server_says_that_it_listens_drains_and_is_closed(heard):
    manager = make_manager()
    async with manager.serve(port=0, drain=3) as server:
        url = server.url
    names = ("server.listening", "server.draining", "server.closed")
    records = heard.of(*names)
    assert [record.event_name for record in records] == list(names)
    assert {record.levelno for record in records} == {logging.INFO}
    assert all(record.fields["url"] == url for record in records)
    assert "up to 3 s" in records[1].getMessage()


async def test_each_record_has_all_attributes(heard, serve, connect):
    server = await serve(make_manager())
    await connect(server.url)
    await heard.wait("connection.accepted")
    for record in heard.records:
        assert record.event_name and isinstance(record.fields, dict)
        assert {name: hasattr(record, name) for name in STANDARD} == dict.fromkeys(STANDARD, True)


async def test_texts_of_clients_forge_no_line(heard, serve, connect):
    server = await serve(make_manager())
    client = await connect(server.url)
    forged = "1\nERROR:fraiseql_subs:forged\x1b[2J"
    await client.subscribe("subscription { ticks }", id=forged)
    (started,) = await heard.wait("operation.started")
    assert started.operation == forged
    assert "\n" not in started.getMessage() and "\x1b" not in started.getMessage()


async def test_long_texts_of_clients_are_cut_off(heard, serve, connect):
    server = await serve(make_manager())
    client = await connect(server.url)
    await client.subscribe("subscription { ticks }", id="é" * 5000)
    (started,) = await heard.wait("operation.started")
    assert len(started.operation.encode()) <= 256 and started.operation.endswith("…")


async def test_no_record_has_a_token_a_variable_or_data(heard, serve, connect):
    rbac = RBAC(subscriptions={"texts": "read"})
    security = Security(authenticate=authenticate, rbac=rbac)
    manager = SubscriptionManager([ticks, texts], security=security)
    server = await serve(manager)
    client = await connect(
        f"{server.url}?access_token=secret-query",
        {"token": "secret-token"},
        additional_headers={"authorization": "Bearer secret-header"},
    )
    query = "subscription ($place: String) { ticks(place: $place) }"
    id = await client.subscribe(query, {"place": "secret-variable"})
    await client.subscribe(query, {"place": ["secret-list"]})
    await client.subscribe('subscription { ticks(place: "secret-literal", no: 1) }')
    await client.subscribe("subscription { texts }")
    await manager.publish("ticks", "secret-data")
    await manager.publish("ticks", {"secret-key": "secret-value"})
    await heard.wait("value.misfit")
    await client.complete(id)
    await heard.wait("operation.ended")
    assert len(heard.of("operation.refused")) == 3
    assert heard.of("subscription.denied")
    for record in heard.records:
        assert "secret" not in str(vars(record)), record.event_name


async def test_debug_records_cost_nothing_unless_a_logger_writes_them(serve, connect):
    manager = make_manager()
    with heard_at(logging.INFO) as heard:
        server = await serve(manager)
        for _ in range(3):
            await (await connect(server.url)).close()
        await eventually(lambda: not manager.metrics().connections, "all have left")
        assert heard.names == ["server.listening"]


async def test_a_level_that_changes_while_a_manager_runs_is_noticed(serve, connect):
    server = await serve(make_manager())
    with heard_at(logging.DEBUG, "fraiseql_subs.connections") as heard:

        async def is_written() -> bool:
            await (await connect(server.url)).close()
            return bool(heard.of("connection.opened"))

        await eventually(is_written, "connections are written")
    assert {record.name for record in heard.records} == {"fraiseql_subs.connections"}


async def test_attributes_of_a_record_factory_are_no_conflict(heard, serve, connect):
    make = logging.getLogRecordFactory()

    def factory(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        record.user, record.trace = "of the program", "its trace"
        return record

    logging.setLogRecordFactory(factory)
    try:
        server = await serve(make_manager())
        await connect(server.url)
        (accepted,) = await heard.wait("connection.accepted")
    finally:
        logging.setLogRecordFactory(make)
    assert (accepted.user, accepted.trace) == ("ada", "its trace")
    (opened,) = heard.of("connection.opened")
    assert opened.user == "of the program"


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
async def test_the_first_lost_result_of_a_slow_client_is_written(policy, heard, serve, connect):
    manager = make_manager(texts, limits=Limits(slow_consumer=policy, max_pending_bytes=200_000))
    server = await serve(manager)
    client: ProtocolClient = await connect(server.url)
    id = await client.subscribe("subscription { texts }")
    client.socket.transport.pause_reading()
    await publish_until(
        manager,
        lambda: manager.metrics().results_dropped > 3,
        "results are dropped",
        "texts",
        lambda number: "x" * 50_000,
    )
    (lost,) = await heard.wait("result.dropped")
    assert lost.levelno == logging.WARNING
    assert (lost.operation, lost.field, lost.user) == (id, "texts", "ada")
    assert len(heard.of("result.dropped")) == 1
    client.socket.transport.resume_reading()


async def test_a_client_that_is_disconnected_because_it_is_slow_is_written(heard, serve, connect):
    manager = make_manager(texts, limits=Limits(max_pending_bytes=200_000))
    server = await serve(manager)
    client: ProtocolClient = await connect(server.url)
    await client.subscribe("subscription { texts }")
    client.socket.transport.pause_reading()
    await disconnect_slow_consumer(manager, "texts", "x" * 50_000)
    (slow,) = await heard.wait("connection.too_slow")
    (ended,) = await heard.wait("connection.ended")
    assert (slow.levelno, slow.user) == (logging.WARNING, "ada")
    assert ended.connection == slow.connection
    client.socket.transport.resume_reading()


async def test_a_resolver_that_is_too_slow_is_written(heard, serve, connect):
    free = asyncio.Event()

    @subscription(channel="events")
    async def slow(event: Event) -> int:
        await free.wait()
        return 1

    manager = make_manager(slow, limits=Limits(slow_consumer="drop_oldest"))
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { slow }")
    await publish_until(
        manager,
        lambda: manager.metrics().events_dropped > 3,
        "events are dropped",
        "events",
        lambda number: number,
    )
    (dropped,) = await heard.wait("event.dropped")
    assert dropped.levelno == logging.WARNING
    assert (dropped.operation, dropped.field, dropped.user) == (id, "slow", "ada")
    assert len(heard.of("event.dropped")) == 1
    free.set()


async def test_a_subscription_that_is_ended_because_its_resolver_is_slow_is_written(
    heard, serve, connect
):
    free = asyncio.Event()

    @subscription(channel="events")
    async def slow(event: Event) -> int:
        await free.wait()
        return 1

    manager = make_manager(slow)
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { slow }")
    await disconnect_slow_consumer(manager, "events", 1)
    (ended,) = await heard.wait("subscription.too_slow")
    assert (ended.operation, ended.field, ended.user) == (id, "slow", "ada")
    free.set()


async def test_a_client_past_the_limit_of_connections_is_written(heard, serve, connect):
    server = await serve(make_manager(limits=Limits(max_connections=1)))
    await connect(server.url)
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        answer = await http.post(server.http_url, json={"query": "{ __typename }"})
    assert answer.status_code == 503
    (full,) = await heard.wait("server.full")
    assert full.levelno == logging.WARNING and full.fields["peer"].startswith("127.0.0.1")


async def test_a_resolver_that_raises_has_the_operation_and_the_event(heard, serve, connect):
    @subscription(channel="events")
    def broken(event: Event) -> int:
        raise RuntimeError("broken")

    manager = make_manager(broken)
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { broken }")
    for number in range(4):
        await manager.publish("events", number, event_id=f"e{number}")
        assert (await client.receive_next(id))["errors"]
    (raised,) = heard.of("exception.raised")
    assert raised.levelno == logging.ERROR and raised.exc_info[0] is RuntimeError
    told = {name: getattr(raised, name) for name in STANDARD}
    assert told == {
        "connection": heard.of("connection.opened")[0].connection,
        "operation": id,
        "field": "broken",
        "event": "e0",
        "user": "ada",
        "tenant": "acme",
        "trace": None,
    }
    await manager.close()
    (_, counted) = heard.of("exception.raised")
    assert counted.fields == {"field": "broken", "repeats": "3"}
    assert counted.connection is None


async def test_a_value_that_does_not_fit_is_written_once_for_each_field_and_kind(
    heard, serve, connect
):
    @subscription(channel="events")
    def number(event: Event) -> int:
        return event.data

    manager = make_manager(number, texts)
    server = await serve(manager)
    client = await connect(server.url)
    numbers = await client.subscribe("subscription { number }")
    values = ["a", "b", 1.5, 2.5, 2**40, "c"]
    for value in values:
        await manager.publish("events", value)
        assert (await client.receive_next(numbers))["errors"]
    assert manager.metrics().field_errors == len(values)
    misfits = heard.of("value.misfit")
    kinds = {record.fields["problem"] for record in misfits}
    assert len(misfits) == len(kinds) > 1
    assert {record.field for record in misfits} == {"Subscription.number"}
    assert all(record.operation == numbers and record.event for record in misfits)
    other = await client.subscribe("subscription { texts }")
    await manager.publish("texts", [1])
    assert (await client.receive_next(other))["errors"]
    await eventually(lambda: len(heard.of("value.misfit")) > len(kinds), "the other is written")
    assert heard.of("value.misfit")[-1].field == "Subscription.texts"
    await manager.close()
    repeats = [record.fields.get("repeats", "0") for record in heard.of("value.misfit")]
    assert sum(map(int, repeats)) == len(values) - len(kinds)
