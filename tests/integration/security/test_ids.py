"""Ids reveal the position in a client's own stream, and nothing about others."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from support.authentication import Admitting
from support.progress import clients_left, recorded
from support.server_process import ServerProcess, manager
from support.servers import SERVERS

from fraiseql_subs import (
    ConnectionParams,
    History,
    Identity,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
)

pytestmark = pytest.mark.attack

ID = re.compile(r"[0-9a-f]{16}-(\d+)")
BEGIN: dict[str, Any] = {"resume": {}}


def after(id: str) -> dict[str, Any]:
    return {"resume": {"after": id}}


def make_manager(**options: Any) -> SubscriptionManager:
    feed = passthrough("feed", int, channel="feed")
    return SubscriptionManager([feed], **options)


async def by_tenant(params: ConnectionParams) -> Identity:
    return Identity("ada", tenant_id=params.payload["tenant"])


def isolated(**options: Any) -> SubscriptionManager:
    security = Security(authenticate=by_tenant, tenant=TenantIsolation())
    return make_manager(security=security, **options)


async def stands(client: Any, extensions: dict[str, Any]) -> dict[str, Any]:
    """Subscribe; returns the position of the subscription."""
    id = await client.subscribe("subscription { feed }", extensions=extensions)
    result = await client.receive_next(id)
    return result["extensions"]["resume"] | {"operation": id, "data": result["data"]}


def offset_of(id: str) -> int:
    found = ID.fullmatch(id)
    assert found, id
    return int(found[1])


async def test_a_tenant_is_told_nothing_of_the_events_of_others(serve, connect):
    manager = isolated()
    server = await serve(manager)
    quiet = await connect(server.url, {"tenant": "quiet"})
    first = await stands(quiet, BEGIN)
    assert offset_of(first["id"]) == 0
    for number in range(100):
        await manager.publish("feed", number, tenant_id="busy")
        await manager.publish("elsewhere", number, tenant_id="quiet")
        await manager.publish("feed", number)
    await recorded(manager)
    again = await stands(quiet, BEGIN)
    assert again["id"] == first["id"]
    await quiet.complete(again["operation"])
    receipt = await manager.publish("feed", 7, tenant_id="quiet")
    result = await quiet.receive_next(first["operation"])
    assert result["extensions"]["resume"]["id"] == receipt.event_id
    assert (offset_of(receipt.event_id), receipt.offset) == (1, 1)


async def test_a_channel_counts_its_own_events(serve):
    manager = make_manager()
    async with manager:
        for number in range(1, 4):
            await manager.publish("other", number)
            receipt = await manager.publish("feed", number)
            assert receipt.offset == offset_of(receipt.event_id) == number


async def test_an_id_of_another_stream_is_too_late_and_brings_nothing(serve, connect):
    manager = isolated()
    server = await serve(manager)
    others = [await manager.publish("feed", n, tenant_id="other") for n in range(5)]
    elsewhere = [await manager.publish("elsewhere", n, tenant_id="own") for n in range(5)]
    nobodys = [await manager.publish("feed", n) for n in range(5)]
    own = [await manager.publish("feed", n, tenant_id="own") for n in range(3)]
    client = await connect(server.url, {"tenant": "own"})
    for receipt in [*others, *elsewhere, *nobodys]:
        found = await stands(client, after(receipt.event_id))
        assert (found["missed"], found["data"], found["id"]) == (True, None, own[-1].event_id)
    assert manager.metrics().resumes_too_late == 15
    id = await client.subscribe("subscription { feed }", extensions=after(own[1].event_id))
    assert (await client.receive_next(id))["data"] == {"feed": 2}


@pytest.mark.parametrize("name", SERVERS)
async def test_a_forged_id_is_too_late_and_affects_no_other_client(name, connect):
    manager = make_manager()
    async with SERVERS[name](manager) as url:
        real = (await manager.publish("feed", 0)).event_id
        epoch = real.rpartition("-")[0]
        client = await connect(url)
        for forged in (
            f"{epoch}-2",
            f"{epoch}-{2**64 - 1}",
            f"{epoch}-{2**64}",
            f"{epoch}-01",
            f"{epoch}-+1",
            f"{epoch}- 1",
            f"{epoch}--1",
            f"{epoch}-",
            f"{epoch}1",
            epoch,
            epoch.upper() + "-1",
            "0" * 16 + "-1",
            "-1",
            "1",
            "\0",
            "é" * 1000,
            f"{real}\n",
            f" {real}",
            "%s%n",
            "-" * 10_000,
        ):
            found = await stands(client, after(forged))
            assert (found["missed"], found["id"]) == (True, real), forged
            await client.complete(found["operation"])
        id = await client.subscribe("subscription { feed }", extensions=after(real))
        await client.settle()
        await manager.publish("feed", 1)
        assert (await client.receive_next(id))["data"] == {"feed": 1}


async def test_an_id_before_any_event_stays_good_while_others_come_and_go(serve, connect):
    manager = make_manager(history=History(events=10, max_bytes=20_000))
    server = await serve(manager)
    client = await connect(server.url)
    begin = await stands(client, BEGIN)
    client.kill()
    await clients_left(manager)
    await manager.publish("feed", 1)
    client = await connect(server.url)
    id = await client.subscribe("subscription { feed }", extensions=after(begin["id"]))
    assert (await client.receive_next(id))["data"] == {"feed": 1}


async def test_a_forgotten_stream_does_not_repeat_ids(serve, connect):
    manager = make_manager(history=History(events=10, max_bytes=20_000))
    server = await serve(manager)
    first = await manager.publish("feed", 1)
    for _ in range(2):
        # None weighs more, and all are newer.
        for number in range(5_000):
            await manager.publish(str(number), number)
        await recorded(manager)
    again = await manager.publish("feed", 2)
    assert again.event_id != first.event_id
    client = await connect(server.url)
    found = await stands(client, after(first.event_id))
    assert (found["missed"], found["id"]) == (True, again.event_id)


async def test_a_subscription_receives_all_events_while_streams_are_forgotten(serve, connect):
    manager = make_manager(history=None)
    server = await serve(manager)
    client = await connect(server.url)
    for number in range(3):
        await manager.publish("feed", number)
    id = await client.subscribe("subscription { feed }")
    await client.settle()
    for round_ in range(3):
        for number in range(2_000):
            await manager.publish(f"{round_}.{number}", number)
        await manager.publish("feed", round_)
        assert (await client.receive_next(id))["data"] == {"feed": round_}


async def test_two_processes_give_no_equal_ids():
    ids = set()
    headers = {"accept": "text/event-stream"}
    query = "query=subscription%7Bticks%7D"
    for _ in range(2):
        async with ServerProcess(manager()) as server, httpx.AsyncClient() as client:
            url = f"{server.http_url}?{query}"
            async with client.stream("GET", url, headers=headers) as response:
                lines = response.aiter_lines()
                line = await anext(line async for line in lines if line.startswith("id: "))
            id = line.removeprefix("id: ")
            assert offset_of(id) == 0
            ids.add(id)
    assert len(ids) == 2


async def test_connections_are_not_counted_by_their_ids(serve, connect):
    hook = Admitting()
    server = await serve(make_manager(security=Security(authenticate=hook)))
    for _ in range(3):
        await connect(server.url)
    seen = [params.connection_id for params in hook.asked]
    assert len(set(seen)) == 3
    assert all(re.fullmatch(r"ws-[0-9a-f]{16}", id) for id in seen)
