"""Clients that are disconnected for a time stay out, on every node."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from cluster import know_each_other, member, names, through_a_proxy
from support import PATIENCE, eventually
from support.authentication import by_payload
from support.protocol_client import ProtocolClient
from support.tcp_proxy import Admission
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import (
    BusError,
    ConfigurationError,
    ConnectionParams,
    Identity,
    Security,
    SubscriptionManager,
    passthrough,
)

ADA = Identity("ada")
FEED = {"query": "subscription { feed }"}
feed = passthrough("feed", int, channel="feed")


async def is_refused(connect: Any, url: str, user: str, code: int = 4403) -> None:
    """Connect, and expect to be closed."""
    client: ProtocolClient = await connect(url, init=False)
    await client.send({"type": "connection_init", "payload": {"user": user}})
    await client.expect_close(code)


async def by_header(params: ConnectionParams) -> Identity:
    return Identity(params.headers["x-user"])


# In one process.


async def test_a_revoked_user_is_refused_until_the_time_is_over(serve, connect):
    manager = SubscriptionManager([feed], security=Security(authenticate=by_payload))
    server = await serve(manager)
    client = await connect(server.url, {"user": "ada"})
    begun = time.monotonic()
    ended = await manager.disconnect(identity=ADA, code=4401, reason="Banned", revoke_for=3)
    assert ended.closed == 1 and ended.is_complete
    await client.expect_close(4401, "Banned")
    await is_refused(connect, server.url, "ada", 4401)
    await connect(server.url, {"user": "bob"})
    assert manager.metrics().revocations == 1
    assert manager.metrics().connections_revoked == 1

    async def is_let_in() -> bool:
        client = await connect(server.url, init=False)
        await client.send({"type": "connection_init", "payload": {"user": "ada"}})
        return (await client.receive())["type"] == "connection_ack"

    await eventually(is_let_in, "ada is let in again")
    assert time.monotonic() - begun >= 3
    assert manager.metrics().revocations == 0


async def test_a_tenant_and_a_user_of_a_tenant_can_be_revoked(serve, connect):
    manager = SubscriptionManager([feed], security=Security(authenticate=by_payload))
    server = await serve(manager)
    await manager.disconnect(tenant_id="x", revoke_for=60)
    await manager.disconnect(identity=ADA, tenant_id="y", revoke_for=60)
    for user in ("ada@x", "bob@x", "ada@y"):
        await is_refused(connect, server.url, user)
    for user in ("ada", "ada@z", "bob@y"):
        await connect(server.url, {"user": user})


async def test_requests_over_http_are_refused(serve):
    manager = SubscriptionManager([feed], security=Security(authenticate=by_header))
    server = await serve(manager)
    stream = {"accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        headers = {**stream, "x-user": "ada"}
        async with client.stream("POST", server.http_url, json=FEED, headers=headers) as running:
            assert running.status_code == 200
            await manager.disconnect(identity=ADA, revoke_for=60)
            async for _ in running.aiter_lines():
                pass  # It ends.
        for more in (stream, {}):
            headers = {**more, "x-user": "ada"}
            refused = await client.post(
                server.http_url, json={"query": "{ __typename }"}, headers=headers
            )
            assert refused.status_code == 403, refused.text
            headers["x-user"] = "bob"
            answered = await client.post(
                server.http_url, json={"query": "{ __typename }"}, headers=headers
            )
            assert answered.status_code == 200, answered.text
        refused = await client.put(server.http_url, headers={**stream, "x-user": "ada"})
        assert refused.status_code == 403
        assert manager.metrics().denied_authentication == 3
        for code, status in [(4000, 403), (4401, 401), (1000, 403)]:
            await manager.disconnect(identity=Identity(str(code)), code=code, revoke_for=60)
            refused = await client.post(
                server.http_url,
                json={"query": "{ __typename }"},
                headers={"x-user": str(code)},
            )
            assert refused.status_code == status, refused.text


async def test_who_authenticates_while_it_is_revoked_is_not_let_in(serve, connect, within):
    entered, let_in = asyncio.Event(), asyncio.Event()

    async def slow(params: ConnectionParams) -> Identity:
        entered.set()
        await let_in.wait()
        return ADA

    manager = SubscriptionManager([feed], security=Security(authenticate=slow))
    server = await serve(manager)
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await within(entered.wait())
    ended = await manager.disconnect(identity=ADA, revoke_for=60)
    assert ended.closed == 0
    let_in.set()
    await client.expect_close(4403)


@pytest.mark.parametrize("revoke_for", [0, -1, "60", True, float("nan"), 31 * 24 * 3600])
async def test_a_time_that_cannot_work_is_refused(revoke_for):
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ConfigurationError, match="revoke_for"):
            await manager.disconnect(identity=ADA, revoke_for=revoke_for)


@pytest.mark.parametrize("timeout", [0, -1, "60", None, float("nan"), 61])
async def test_a_timeout_that_cannot_work_is_refused(timeout):
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ConfigurationError, match="timeout"):
            await manager.disconnect(identity=ADA, timeout=timeout)
        with pytest.raises(ConfigurationError, match="timeout"):
            await manager.connections(cluster=True, timeout=timeout)


async def test_a_selection_that_is_too_long_to_be_told_is_refused():
    async with SubscriptionManager([feed]) as manager:
        with pytest.raises(ConfigurationError, match="1,024 bytes"):
            await manager.disconnect(tenant_id="x" * 1025)


async def test_revocations_have_a_bound_and_past_it_connections_are_still_closed(serve, connect):
    manager = SubscriptionManager([feed], security=Security(authenticate=by_payload))
    server = await serve(manager)
    for first in range(0, 10_000, 500):
        await asyncio.gather(
            *[
                manager.disconnect(identity=Identity(str(number)), revoke_for=3600)
                for number in range(first, first + 500)
            ]
        )
    client = await connect(server.url, {"user": "ada"})
    with pytest.raises(BusError, match="10000 revocations") as full:
        await manager.disconnect(identity=ADA, revoke_for=3600)
    assert full.value.retryable
    await client.expect_close(4403)
    await manager.disconnect(identity=Identity("7"), revoke_for=3600)


# On several nodes.


async def test_a_revoked_user_is_refused_by_every_node(redis, serve, connect):
    a, b = member(redis.url, "a"), member(redis.url, "b")
    urls = [(await serve(manager)).url for manager in (a, b)]
    await know_each_other(a, b)
    client = await connect(urls[1], {"user": "ada"})
    await a.disconnect(identity=ADA, code=4401, revoke_for=3)
    await client.expect_close(4401)
    for url in urls:
        await is_refused(connect, url, "ada", 4401)

    async def is_let_in() -> bool:
        client = await connect(urls[1], init=False)
        await client.send({"type": "connection_init", "payload": {"user": "ada"}})
        return (await client.receive())["type"] == "connection_ack"

    await eventually(is_let_in, "ada is let in again")


async def test_a_node_that_starts_later_knows_what_is_revoked(redis, serve, connect):
    a = member(redis.url, "a")
    await serve(a)
    await a.disconnect(identity=ADA, revoke_for=3600)
    late = member(redis.url, "late")
    # As soon as it listens a client may be faster than Redis: it is closed when the node knows.
    url = (await serve(late)).url
    client = await connect(url, init=False)
    await client.send({"type": "connection_init", "payload": {"user": "ada"}})
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            assert (await client.receive())["type"] == "connection_ack"
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4403
    assert late.metrics().revocations == 1


async def test_a_node_that_was_cut_off_closes_them_when_it_is_back(redis, serve, connect):
    async with through_a_proxy(redis) as (proxy, url):
        a, b, c = member(redis.url, "a"), member(url, "b"), member(redis.url, "c")
        urls = [(await serve(manager)).url for manager in (a, b, c)]
        await know_each_other(a, b, c)
        stays = await connect(urls[1], {"user": "bob"})
        clients = [await connect(url, {"user": "ada"}) for url in urls]
        await proxy.admit(Admission.REFUSE)
        proxy.cut()
        await eventually(lambda: not b.metrics().bus_is_live, "b is cut off")
        ended = await a.disconnect(identity=ADA, revoke_for=3600, timeout=0.5)
        assert names(ended.unanswered) == ["b"] and names(ended.answered) == ["a", "c"]
        assert ended.closed == 2 and not ended.is_complete
        for client in (clients[0], clients[2]):
            await client.expect_close(4403)
        await clients[1].settle()
        await proxy.admit(Admission.PASS)
        await clients[1].expect_close(4403, "Forbidden")
        await stays.settle()
        await is_refused(connect, urls[1], "ada")
        assert b.metrics().connections_revoked == 2


async def test_a_connection_id_is_closed_by_a_node_that_is_back(redis, serve, connect):
    async with through_a_proxy(redis) as (proxy, url):
        a, b = member(redis.url, "a"), member(url, "b")
        await serve(a)
        server = await serve(b)
        await know_each_other(a, b)
        one, other = [await connect(server.url, {"user": "ada"}) for _ in range(2)]
        await proxy.admit(Admission.REFUSE)
        proxy.cut()
        await eventually(lambda: not b.metrics().bus_is_live, "b is cut off")
        connection_id = b.connections()[0].connection_id
        await a.disconnect(connection_id=connection_id, revoke_for=60, timeout=0.2)
        await proxy.admit(Admission.PASS)
        await one.expect_close(4403)
        await other.settle()


async def test_without_redis_it_is_said_that_it_is_not_kept(redis, serve, connect):
    a, b = member(redis.url, "a"), member(redis.url, "b")
    url, other_url = [(await serve(manager)).url for manager in (a, b)]
    await know_each_other(a, b)
    own, other = await connect(url, {"user": "ada"}), await connect(other_url, {"user": "ada"})
    await redis.kill()
    await eventually(lambda: not a.metrics().bus_is_live, "Redis is away")
    with pytest.raises(BusError, match=r"1 connections were closed.*not kept") as failed:
        await a.disconnect(identity=ADA, revoke_for=3600)
    assert failed.value.retryable
    await own.expect_close(4403)
    await is_refused(connect, url, "ada")
    await other.settle()
    await redis.start()

    async def is_kept() -> bool:
        return (await a.disconnect(identity=ADA, revoke_for=3600)).is_complete

    await eventually(is_kept, "the same call works when Redis is back")
    await other.expect_close(4403)


async def test_a_redis_that_does_not_answer_is_not_waited_for(redis, serve, connect):
    a = member(redis.url, "a")
    client = await connect((await serve(a)).url, {"user": "ada"})
    await eventually(lambda: a.metrics().bus_is_live, "Redis is there")
    redis.pause()
    try:
        with pytest.raises(BusError, match="not answered in time"):
            await asyncio.wait_for(
                a.disconnect(identity=ADA, revoke_for=3600, timeout=0.2), PATIENCE
            )
        await client.expect_close(4403)
    finally:
        redis.resume()


async def test_other_buses_of_one_redis_do_not_hear_of_it(redis, serve, connect):
    a, other = member(redis.url, "a"), member(f"{redis.url}?prefix=other", "other")
    await serve(a)
    url = (await serve(other)).url
    client = await connect(url, {"user": "ada"})
    ended = await a.disconnect(identity=ADA, revoke_for=3600)
    assert names(ended.answered) == ["a"] and ended.is_complete
    await client.settle()
    assert names(await other.nodes()) == ["other"]
