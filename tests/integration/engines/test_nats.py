"""Nodes over NATS: with JetStream, which keeps events, and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster import know_each_other
from declared import node
from nodes import KINDS, managers, take, two
from returning import after, begin, numbers, query, told_missed
from support import PATIENCE, eventually
from support.nats_server import NatsServer

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    Nats,
    Publisher,
    PublishError,
    Security,
    SubscriptionManager,
    SyncPublisher,
    TenantIsolation,
    passthrough,
)

FEED = "subscription { feed }"
SECRET = "s3cret"

every_kind = pytest.mark.parametrize("kind", KINDS)
every_mode = pytest.mark.parametrize("mode", ["", "?history=off"])


@pytest.fixture
async def nats(tmp_path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path) as server:
        yield server


@every_mode
@every_kind
async def test_events_of_either_node_reach_clients_of_both_once_and_in_order(
    mode, kind, nats, connect
):
    async with two(kind, nats.url + mode) as nodes:
        clients = [await connect(each.url) for each in nodes for _ in range(2)]
        for client in clients:
            await client.subscribe(FEED)
        for number in range(20):
            await nodes[number % 2].publish(("feed", number))
        await nodes[0].publish(*[("feed", number) for number in range(20, 100)])
        for client in clients:
            received = [(await client.receive_data())["feed"] for _ in range(100)]
            assert received == list(range(100))


async def test_events_are_carried_without_jetstream(tmp_path, caplog):
    async with (
        NatsServer(tmp_path, jetstream=False) as nats,
        managers(nats.url, history=None) as (a, b),
        b.subscribe(FEED) as results,
    ):
        await a.publish("feed", 1)
        assert await take(results, 1) == [1]
        await know_each_other(a, b)
    assert not caplog.messages


@every_kind
async def test_a_client_misses_nothing_when_it_goes_to_another_node(kind, nats, connect):
    async with two(kind, nats.url) as (a, b):
        client = await connect(a.url)
        await begin(client)
        await a.publish(*[("feed", number) for number in range(10)])
        seen, last = await numbers(client, 10)
        assert seen == list(range(10))
        client.kill()
        await a.publish(*[("feed", number) for number in range(10, 20)])
        await b.publish(*[("feed", number) for number in range(20, 30)])
        client = await connect(b.url)
        await client.subscribe(query("feed"), extensions=after(last))
        await a.publish(*[("feed", number) for number in range(30, 40)])
        assert (await numbers(client, 30))[0] == list(range(10, 40))


async def test_a_client_with_an_id_that_the_engine_has_not_reached_is_told(nats):
    """Its events were lost with the engine, or it has made its id up."""
    async with managers(nats.url) as (a, b):
        receipt = await a.publish("feed", 1)
        epoch = receipt.position.partition("-")[0]
        for offset in (receipt.offset + 1_000, 2**64 - 1):
            later = after(f"{epoch}-{offset}")
            async with b.subscribe(query("feed"), extensions=later) as results:
                assert (await anext(results)).extensions["resume"]["missed"] is True
                await a.publish("feed", 2)
                assert await take(results, 1) == [2]


async def test_without_history_another_node_tells_that_events_are_missing(nats, connect):
    async with two("this process", nats.url + "?history=off") as (a, b):
        client = await connect(a.url)
        await begin(client)
        await a.publish(("feed", 1))
        _, last = await numbers(client, 1)
        await a.publish(("feed", 2))
        again = await connect(b.url)
        await again.subscribe(query("feed"), extensions=after(last))
        await told_missed(again)


async def test_the_position_of_a_receipt_is_the_id_that_clients_of_both_nodes_are_told(
    nats, connect
):
    async with two("this process", nats.url) as (a, b):
        clients = [await connect(each.url) for each in (a, b)]
        for client in clients:
            await begin(client)
        told = [*await a.publish(("feed", 1)), *await b.publish(("feed", 2))]
        for client in clients:
            for _, position in told:
                result = await client.receive_next()
                assert result["extensions"]["resume"]["id"] == position


async def test_an_event_that_is_published_again_with_its_id_is_one_event(nats):
    async with managers(nats.url) as (a, b), a.subscribe(FEED) as results:
        first = await a.publish("feed", 1, event_id="mine")
        again = await b.publish("feed", 2, event_id="mine")
        assert again.position == first.position
        await b.publish("feed", 3)
        assert await take(results, 2) == [1, 3]


async def test_events_of_tenants_stay_apart(nats):
    security = Security(tenant=TenantIsolation())
    async with managers(nats.url, security=security) as (a, b):
        acme, other = Identity("a", tenant_id="acme.eu"), Identity("o", tenant_id="*")
        async with (
            b.subscribe(FEED, identity=acme) as of_acme,
            b.subscribe(FEED, identity=other) as of_other,
        ):
            await a.publish("feed", 1, tenant_id="acme.eu")
            await a.publish("feed", 2, tenant_id="*")
            assert await take(of_acme, 1) == [1]
            assert await take(of_other, 1) == [2]


async def test_a_channel_that_is_no_subject_is_carried(nats):
    async with managers(nats.url) as (a, b):
        for channel in ["a..b", "*", "a b>", ".", "é" * 100]:
            document = "subscription Any($channel: String!) { anyChannel(channel: $channel) }"
            async with b.subscribe(document, {"channel": channel}) as results:
                await a.publish(channel, 1)
                assert await take(results, 1) == [1]


@every_mode
async def test_clients_go_on_after_nats_was_away(mode, nats):
    async with managers(nats.url + mode, publish_timeout=30.0) as (a, b):
        async with b.subscribe(FEED) as results:
            await a.publish("feed", 1)
            assert await take(results, 1) == [1]
            await nats.kill()
            await eventually(lambda: b.metrics().bus_is_live == 0, "the node notices it")
            publishing = asyncio.create_task(a.publish("feed", 2)) if not mode else None
            await nats.start()
            if publishing is not None:
                await asyncio.wait_for(publishing, PATIENCE)
            await eventually(lambda: b.metrics().bus_is_live == 1, "the node is back")
            await eventually(lambda: a.metrics().bus_is_live == 1, "the other is back")
            await a.publish("feed", 3)
            assert await take(results, 1 if mode else 2) == ([3] if mode else [2, 3])


async def test_programs_without_a_server_publish(nats):
    async with node(nats.url) as manager, manager.subscribe(FEED) as results:
        async with Publisher(bus=nats.url) as publisher:
            receipt = await publisher.publish("feed", 1)
            assert receipt.position is not None

        def publish() -> None:
            with SyncPublisher(bus=Nats(nats.url)) as publisher:
                publisher.publish("feed", 2)

        await asyncio.to_thread(publish)
        assert await take(results, 2) == [1, 2]


async def test_json_that_another_program_stores_is_an_event(nats):
    raw = passthrough("raw", Any, channel="raw")
    bus = Nats(nats.url, accept_raw=True)
    async with SubscriptionManager([raw], bus=bus, workers=1) as manager:
        async with manager.subscribe("subscription { raw }") as results:
            await manager.publish("raw", 1)
            _, writer = await asyncio.open_connection("127.0.0.1", nats.port)
            writer.write(b'CONNECT {"verbose": false}\r\nPUB fs1.in.0.-.raw 9\r\n{"id": 2}\r\n')
            await writer.drain()
            assert await take(results, 2) == [1, {"id": 2}]
            writer.close()


async def test_a_user_is_disconnected_on_all_nodes_and_stays_out(nats):
    async with managers(nats.url) as (a, b):
        await know_each_other(a, b)
        result = await a.disconnect(identity=Identity("ada"), revoke_for=60.0)
        assert result.is_complete
        async with node(nats.url) as late:
            await eventually(lambda: late.metrics().revocations == 1, "a later node knows it")
        assert b.metrics().revocations == 1


AUTHORIZED = f"authorization {{ users: [ {{ user: bus, password: {SECRET} }} ] }}"


async def test_a_password_that_a_function_returns_is_asked_for_again(tmp_path):
    answers = ["wrong"]
    asked: list[str] = []

    def password() -> str:
        asked.append(answers[-1])
        return answers[-1]

    async with NatsServer(tmp_path, AUTHORIZED) as nats:
        bus = Nats(nats.url, username="bus", password=password)
        async with node(bus, publish_timeout=PATIENCE) as manager:
            publishing = asyncio.create_task(manager.publish("feed", 1))
            await eventually(lambda: len(asked) >= 3, "each link asks")
            answers.append(SECRET)
            await asyncio.wait_for(publishing, PATIENCE)


async def test_a_refused_login_is_told_without_its_secret(tmp_path, caplog):
    async with NatsServer(tmp_path, AUTHORIZED) as nats:
        url = nats.url.replace("//", "//bus:s3cret-wrong@")
        async with node(url, publish_timeout=1.0) as manager:
            with pytest.raises(PublishError) as refused:
                await manager.publish("feed", 1)
            assert refused.value.outcome == "not_sent"
            await eventually(lambda: "login" in caplog.text, "the log says why")
            assert SECRET not in caplog.text and SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"url": "redis://host"}, "nats://"),
        ({"url": f"nats://{SECRET}@host"}, "user:password@host"),
        ({"url": "nats://host", "username": "bus"}, "password="),
        ({"url": "nats://host", "password": SECRET}, "username="),
        ({"url": "nats://host", "token": SECRET, "nkey": "/seed"}, "two logins"),
        ({"url": "nats://host", "token": ""}, "not empty"),
        ({"url": "nats://host", "ca": "/ca.pem"}, "tls://"),
        ({"url": "tls://host", "client_cert": "/c.pem"}, "client_key="),
        ({"url": "nats://host", "replicas": 2}, "1, 3 or 5"),
        ({"url": "nats://host", "replicas": 9}, "from 1 to 5"),
        ({"url": "nats://host", "partitions": 65}, "from 1 to 64"),
        ({"url": "nats://host", "prefix": "a.b"}, "prefix"),
        ({"url": "nats://host", "max_bytes": 1}, "max_bytes"),
        ({"url": "nats://host", "max_event_bytes": 1}, "max_event_bytes"),
        ({"url": "nats://host", "accept_raw": 1}, "True or False"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_written(settings, remedy):
    with pytest.raises(ConfigurationError) as refused:
        Nats(**settings)
    assert remedy in str(refused.value) and SECRET not in str(refused.value)


def test_an_engine_shows_its_hosts_alone():
    bus = Nats(f"tls://bus:{SECRET}@one,two:4223?prefix=x", token=None)
    assert repr(bus) == "Nats('tls://one,two:4223')"
