"""Nodes know each other, and act on the connections of all."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from urllib.parse import urlsplit

import pytest
from cluster import know_each_other, member, names, through_a_proxy
from declared import node
from nodes import OwnProcess
from support import PATIENCE, eventually
from support.raw_http import handshake
from support.tcp_proxy import Admission

from fraiseql_subs import BusError, Identity, SubscriptionManager

ADA = Identity("ada")


@pytest.fixture
def start(redis, serve) -> Any:
    """Serve nodes with these names; they know each other."""

    async def start_all(*named: str) -> list[tuple[SubscriptionManager, str]]:
        nodes = []
        for name in named:
            manager = member(redis.url, name)
            nodes.append((manager, (await serve(manager)).url))
        await know_each_other(*[manager for manager, _ in nodes])
        return nodes

    return start_all


# Which nodes there are.


async def test_nodes_list_each_other_with_what_they_carry(start, connect):
    (a, url), (b, _), (c, _) = await start("a", "b", "c")
    client = await connect(url, {"user": "ada"})
    await client.subscribe("subscription { feed }")
    for manager in (a, b, c):
        assert names(await manager.nodes()) == ["a", "b", "c"]
    own, *others = await a.nodes()
    assert (own.name, own.connections, own.subscriptions) == ("a", 1, 1)
    assert own.is_live and own.lag == 0 and own.version
    assert [other.name for other in others] == ["b", "c"]
    assert len({each.id for each in (own, *others)}) == 3

    async def is_told() -> bool:
        return [each.connections for each in await b.nodes() if each.name == "a"] == [1]

    await eventually(is_told, "the others are told of the connection")
    assert a.metrics().bus_nodes == 3 and a.metrics().bus_control_unreadable == 0


async def test_a_node_that_ends_is_gone_at_once(start):
    (a, _), (b, _) = await start("a", "b")
    await b.close(drain=0.0)

    async def is_gone() -> bool:
        return names(await a.nodes()) == ["a"]

    await eventually(is_gone, "it has said that it leaves")
    ended = await a.disconnect(identity=ADA)
    assert ended.unanswered == () and ended.is_complete


async def test_processes_know_each_other_by_host_and_process(redis):
    async with node(redis.url) as manager, OwnProcess(redis.url) as other:
        await eventually(lambda: manager.metrics().bus_nodes == 2, "they know each other")
        own, listed = await manager.nodes()
        assert own.name.endswith(f":{os.getpid()}")
        assert listed.name.endswith(f":{other.process.pid}")


async def test_without_an_engine_this_process_is_the_only_node():
    async with node("memory://", node_name="alone") as manager:
        (alone,) = await manager.nodes()
        assert alone.name == "alone" and alone.is_live
        ended = await manager.disconnect(identity=ADA)
        assert ended.answered == (alone,) and ended.is_complete and ended.closed == 0
        assert manager.metrics().bus_nodes == 0


async def test_a_manager_that_was_never_started_lists_itself():
    manager = node("memory://")
    assert len(await manager.nodes()) == 1
    await manager.close()


# Disconnecting.


async def test_connections_of_all_nodes_are_closed(start, connect):
    nodes = await start("a", "b", "c")
    adas = [await connect(url, {"user": "ada@x"}) for _, url in nodes]
    others = [await connect(url, {"user": "bob@y"}) for _, url in nodes]
    ended = await nodes[0][0].disconnect(identity=ADA, code=4000, reason="Moved")
    assert ended.closed == 3 and ended.is_complete
    assert names(ended.answered) == ["a", "b", "c"] and ended.answered[0].name == "a"
    for client in adas:
        await client.expect_close(4000, "Moved")
    ended = await nodes[1][0].disconnect(tenant_id="y")
    assert ended.closed == 3
    for client in others:
        await client.expect_close(4403, "Forbidden")


async def test_a_connection_of_another_node_is_closed_by_its_id(start, connect):
    (a, _), (b, url) = await start("a", "b")
    one, other = await connect(url, {"user": "ada"}), await connect(url, {"user": "ada"})
    ended = await a.disconnect(connection_id=b.connections()[0].connection_id)
    assert ended.closed == 1
    await one.expect_close(4403)
    await other.settle()


async def test_who_has_just_started_asks_all_nodes(redis, start, connect):
    (_, url), _ = await start("a", "b")
    client = await connect(url, {"user": "ada"})
    async with member(redis.url, "script") as script:
        ended = await script.disconnect(identity=ADA)
    assert ended.closed == 1 and ended.is_complete
    assert names(ended.answered) == ["a", "b", "script"]
    await client.expect_close(4403)


async def test_a_node_in_another_process_that_hangs_is_named(redis):
    async with node(redis.url) as manager, OwnProcess(redis.url) as other:
        await eventually(lambda: manager.metrics().bus_nodes == 2, "they know each other")
        other.stop()
        ended = await manager.disconnect(identity=ADA, timeout=0.2)
        assert [each.name.split(":")[1] for each in ended.unanswered] == [str(other.process.pid)]
        assert not ended.is_complete
        other.go_on()

        async def answers() -> bool:
            return (await manager.disconnect(identity=ADA)).is_complete

        await eventually(answers, "it answers again")


async def test_without_redis_the_own_connections_are_closed_and_the_others_named(
    redis, start, connect
):
    (a, url), (b, other_url) = await start("a", "b")
    own, other = await connect(url, {"user": "ada"}), await connect(other_url, {"user": "ada"})
    await redis.kill()
    await eventually(lambda: not a.metrics().bus_is_live, "Redis is away")
    ended = await asyncio.wait_for(a.disconnect(identity=ADA, timeout=60), PATIENCE)
    assert ended.closed == 1 and not ended.is_complete
    assert names(ended.answered) == ["a"] and names(ended.unanswered) == ["b"]
    await own.expect_close(4403)
    await other.settle()
    assert names(await b.nodes()) == ["a", "b"], "a node that receives nothing removes no other"


async def test_who_has_never_reached_redis_says_that_others_may_be_missing(redis, serve, connect):
    await redis.kill()
    manager = member(redis.url, "a")
    client = await connect((await serve(manager)).url, {"user": "ada"})
    ended = await manager.disconnect(identity=ADA, timeout=0.2)
    assert ended.closed == 1 and ended.unanswered == () and not ended.is_complete
    await client.expect_close(4403)


# Listing.


async def test_connections_of_all_nodes_are_listed(start, connect):
    (a, url), (b, other_url) = await start("a", "b")
    one = await connect(url, {"user": "ada"})
    other = await connect(other_url, {"user": "bob@x"})
    await other.subscribe("subscription { feed }")
    listed = await a.connections(cluster=True)
    assert listed.is_complete and names(listed.answered) == ["a", "b"]
    first, second = listed.connections
    assert first.identity == ADA and second.identity == Identity("bob", "x")
    assert second.subscriptions == 1 and second.protocol == "graphql-transport-ws"
    assert [first.node_id, second.node_id] == [each.id for each in listed.answered]
    assert second.connection_id == b.connections()[0].connection_id
    assert second.remote_address == b.connections()[0].remote_address
    await one.settle()


async def test_many_connections_come_in_parts_and_whole(redis, start, connect):
    (a, _), (_, url) = await start("a", "b")
    users = {f"user-{'x' * 1500}-{number}" for number in range(60)}
    for user in users:
        await connect(url, {"user": user})
    listed = await a.connections(cluster=True)
    assert {each.identity.user_id for each in listed.connections} == users


async def test_very_many_connections_are_listed_whole_and_in_order(start):
    (a, url), (b, _) = await start("a", "b")
    place = urlsplit(url)
    sockets = []
    try:
        for _ in range(300):
            _, writer = await asyncio.open_connection(place.hostname, place.port)
            sockets.append(writer)
            writer.write(handshake(host=place.netloc))
        await eventually(lambda: len(a.connections()) == 300, "all are connected")
        own = [each.connection_id for each in a.connections()]
        for manager in (a, b):
            listed = await manager.connections(cluster=True, timeout=PATIENCE)
            assert [each.connection_id for each in listed.connections] == own
            assert listed.is_complete
    finally:
        for writer in sockets:
            writer.close()


async def test_a_node_that_is_cut_off_is_named_and_none_of_its_connections_listed(
    redis, serve, connect
):
    async with through_a_proxy(redis) as (proxy, url):
        a, b = member(redis.url, "a"), member(url, "b")
        await serve(a)
        client = await connect((await serve(b)).url, {"user": "ada"})
        await know_each_other(a, b)
        await proxy.admit(Admission.REFUSE)
        proxy.cut()
        await eventually(lambda: not b.metrics().bus_is_live, "b is cut off")
        listed = await a.connections(cluster=True, timeout=0.2)
        assert listed.connections == () and names(listed.unanswered) == ["b"]
        assert not listed.is_complete
        await client.settle()


# What comes from Redis is not trusted.


async def test_messages_that_are_no_nodes_are_counted_and_change_nothing(redis, start, connect):
    (a, url), (b, _) = await start("a", "b")
    client = await connect(url, {"user": "ada"})
    everybody = '{"user":null,"tenant":null,"connection":null,"code":4403,"reason":""}'
    junk = [
        "x",
        "{}",
        "[" * 60_000,
        "x" * 100_000,
        f'{{"v":1,"kind":"disconnect","from":"{"0" * 16}","request":1,"revocation":{everybody}}}',
        f'{{"v":1,"kind":"node","from":"{"0" * 16}","name":"{"x" * 5000}"}}',
    ]
    for message in junk:
        await redis.command("PUBLISH", "fs1:{10}:n:all", last=message.encode())
    await redis.command("ZADD", "fs1:{10}:revocations", "9e15", last=everybody.encode())
    for manager in (a, b):
        await eventually(
            lambda manager=manager: manager.metrics().bus_control_unreadable == len(junk),
            "they are counted",
        )
    assert (await b.disconnect(identity=ADA, revoke_for=60)).is_complete
    await client.expect_close(4403)
    async with member(redis.url, "c") as new:
        await eventually(lambda: new.metrics().revocations == 1, "it reads what can be read")


async def test_a_node_that_may_not_speak_still_carries_events(redis):
    """A user of Redis from before nodes spoke with each other."""
    await redis.command("ACL", "SETUSER", "default", "-zadd", "-zrange")
    async with node(redis.url) as one, node(redis.url) as other:
        async with one.subscribe("subscription { feed }") as results:
            await other.publish("feed", 1)
            result = await asyncio.wait_for(anext(results), PATIENCE)
            assert result.data == {"feed": 1}
        with pytest.raises(BusError, match="NOPERM") as refused:
            await one.disconnect(identity=ADA, revoke_for=60)
        assert not refused.value.retryable
