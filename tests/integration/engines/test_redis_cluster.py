"""A Redis Cluster: channels on several masters, slots that move, masters that are away."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from declared import node
from nodes import managers, take
from returning import BEGIN, after
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.paths import ROOT
from support.redis_cluster import RedisCluster
from support.redis_server import RedisServer, free_port

from fraiseql_subs import (
    Identity,
    Publisher,
    PublishError,
    SubscriptionManager,
    SyncPublisher,
)

FEED = "subscription { feed }"
ANY = "subscription Any($channel: String!) { anyChannel(channel: $channel) }"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    """Three masters that serve nothing while one of them is away, as is the default."""
    async with RedisCluster(tmp_path) as running:
        yield running


@pytest.fixture
async def loose_cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    """Three masters that go on while one of them is away."""
    async with RedisCluster(tmp_path, options={"cluster-require-full-coverage": "no"}) as running:
        yield running


async def published(manager: SubscriptionManager, channel: str, number: int) -> Any:
    """Publish until Redis has accepted it, as one event."""
    while True:
        try:
            return await manager.publish(channel, number, event_id=f"{channel} {number}")
        except PublishError as error:
            assert error.retryable, error


class Feed:
    """A subscription of `feed` that notes numbers, and None where events are missing."""

    def __init__(self, manager: SubscriptionManager) -> None:
        self.results = manager.subscribe(FEED, extensions=BEGIN)
        self.noted: list[int | None] = []

    async def __aenter__(self) -> Feed:
        await self.results.__aenter__()
        first = await asyncio.wait_for(anext(self.results), PATIENCE)
        assert first.extensions["resume"]["missed"] is False
        self.reading = asyncio.ensure_future(self._read())
        return self

    async def _read(self) -> None:
        async for result in self.results:
            assert result.errors is None, result
            if result.data is None:
                assert result.extensions["resume"]["missed"] is True
                self.noted.append(None)
            else:
                self.noted.append(result.data["feed"])

    async def has(self, number: int) -> None:
        """Wait for an event."""
        await eventually(lambda: number in self.noted, f"{number} comes")

    async def __aexit__(self, *_: object) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        await self.results.aclose()

    def is_whole(self) -> bool:
        """Whether nothing came twice or out of order, and each gap was told."""
        last = 0
        is_told = False
        for number in self.noted:
            if number is None:
                is_told = True
            elif number <= last or (number != last + 1 and not is_told):
                return False
            else:
                last, is_told = number, False
        return True


@contextlib.asynccontextmanager
async def under_way(manager: SubscriptionManager) -> AsyncIterator[list[int]]:
    """Publish numbers to `feed` inside, one after the other; yield those that were accepted."""
    accepted: list[int] = []
    is_over = asyncio.Event()

    async def publish() -> None:
        while not is_over.is_set():
            number = len(accepted) + 1
            await published(manager, "feed", number)
            accepted.append(number)
            await asyncio.sleep(0.002)

    publishing = asyncio.ensure_future(publish())
    try:
        yield accepted
    finally:
        is_over.set()
        await asyncio.wait_for(publishing, PATIENCE)


async def more(accepted: list[int], count: int = 20) -> None:
    """Wait until so many events more were accepted."""
    before = len(accepted)
    await eventually(lambda: len(accepted) >= before + count, f"{count} more events are accepted")


async def test_every_client_of_both_nodes_gets_each_event_once_and_in_order(cluster):
    channels = [f"channel {number}" for number in range(40)]
    async with managers(cluster.url) as nodes, contextlib.AsyncExitStack() as stack:
        subscribed = {
            (each, channel): await stack.enter_async_context(
                each.subscribe(ANY, {"channel": channel})
            )
            for each in nodes
            for channel in channels
        }
        for number in range(5):
            batch = [(channel, number) for channel in channels]
            await nodes[number % 2].publish_many(batch)
        for results in subscribed.values():
            assert await take(results, 5) == list(range(5))
    sizes = [int(await server.command("DBSIZE")) for server in cluster.servers]
    assert min(sizes) * 4 > sum(sizes) / 3, f"each master has its part: {sizes}"


async def test_a_client_returns_to_another_node(cluster):
    async with managers(cluster.url) as (a, b):
        first = await a.publish("feed", 0)
        await b.publish_many([("feed", number) for number in range(1, 6)])
        for each in (a, b):
            async with each.subscribe(FEED, extensions=after(first.position)) as results:
                assert await take(results, 5) == [1, 2, 3, 4, 5]


async def test_an_event_that_is_published_again_is_one_event(cluster):
    async with managers(cluster.url) as (a, b):
        first = await a.publish("feed", 1, event_id="mine")
        assert await b.publish("feed", 1, event_id="mine") == first


async def test_nothing_is_missed_while_a_slot_moves_with_its_keys(cluster):
    async with managers(cluster.url, publish_timeout=PATIENCE) as (a, b), Feed(a) as one:
        async with Feed(b) as other, under_way(a) as accepted:
            await more(accepted)
            slot, source = await cluster.place("feed")
            for target in ((source + 1) % 3, (source + 2) % 3, source):
                _, source = await cluster.place("feed")
                await cluster.begin_move(slot, source, target)
                await cluster.move_keys(slot, source, target, 2)
                await cluster.move_keys(slot, source, target)
                await cluster.end_move(slot, source, target)
                await more(accepted)
                await one.has(accepted[-1])
                await other.has(accepted[-1])
        # What was accepted since comes as well.
        for feed in (one,):
            await feed.has(accepted[-1])
            assert feed.noted == accepted
        assert other.noted == accepted[: len(other.noted)]


async def test_clients_are_told_when_a_slot_moves_without_its_keys(cluster):
    async with managers(cluster.url, publish_timeout=PATIENCE) as (a, b):
        async with Feed(a) as one, Feed(b) as other, under_way(a) as accepted:
            await more(accepted)
            slot, source = await cluster.place("feed")
            target = (source + 1) % 3
            owner = cluster.servers[target]
            importing = ("CLUSTER", "SETSLOT", slot, "IMPORTING", await cluster.id(source))
            await cluster.ask(owner, *importing)
            await cluster.ask(owner, "CLUSTER", "SETSLOT", slot, "NODE", await cluster.id(target))
            await cluster.ask(owner, "CLUSTER", "BUMPEPOCH")

            async def has_moved() -> bool:
                return (await cluster.place("feed"))[1] == target

            await eventually(has_moved, "the nodes are at the new master")
            await more(accepted)
            for feed in (one, other):
                await feed.has(accepted[-1])
                assert feed.is_whole(), feed.noted


async def test_clients_are_told_when_a_replica_takes_over(loose_cluster):
    cluster = loose_cluster
    async with managers(cluster.url, publish_timeout=PATIENCE) as (a, b):
        async with Feed(a) as one, Feed(b) as other, under_way(a) as accepted:
            await more(accepted)
            _, master = await cluster.place("feed")
            replica = await cluster.add_replica(master)
            await more(accepted)
            await cluster.servers[master].kill()
            await more(accepted)
            assert (await cluster.place("feed"))[1] == replica
            for feed in (one, other):
                await feed.has(accepted[-1])
                assert feed.is_whole(), feed.noted


async def test_a_cluster_that_is_down_is_published_to_when_it_is_back(cluster):
    async with managers(cluster.url, publish_timeout=0.3) as (a, b), Feed(b) as feed:
        await published(a, "feed", 1)
        _, master = await cluster.place("feed")
        lost = cluster.servers[(master + 1) % 3]
        await lost.kill()
        await cluster.is_down()
        with pytest.raises(PublishError, match="CLUSTERDOWN") as failed:
            await a.publish("feed", 2, event_id="feed 2")
        assert failed.value.retryable and failed.value.outcome == "not_sent"
        await lost.start()
        await published(a, "feed", 2)
        await feed.has(2)
        # Its own master has kept what it had.
        assert feed.noted == [1, 2]


@pytest.mark.parametrize("policy", ["wait", "fail"])
async def test_a_master_that_is_away_concerns_its_channels_alone(policy, loose_cluster):
    cluster = loose_cluster
    options = {"publish_timeout": PATIENCE, "on_unavailable": policy}
    async with managers(cluster.url, **options) as (a, b), contextlib.AsyncExitStack() as stack:
        channels = [f"channel-{number}" for number in range(12)]
        subscribed = {
            channel: await stack.enter_async_context(b.subscribe(ANY, {"channel": channel}))
            for channel in channels
        }
        for channel in channels:
            await published(a, channel, 1)
        places = {channel: (await cluster.place(channel))[1] for channel in channels}
        await cluster.servers[0].kill()
        await eventually(lambda: not a.metrics().bus_is_live, "the node knows it")
        others = [channel for channel in channels if places[channel] != 0]
        assert others
        for channel in others:
            await a.publish(channel, 2)
            assert await take(subscribed[channel], 2) == [1, 2]
        if policy == "fail":
            with pytest.raises(PublishError) as failed:
                lost = next(channel for channel in channels if places[channel] == 0)
                await a.publish(lost, 2)
            assert failed.value.retryable and failed.value.outcome == "not_sent"


async def test_any_server_that_answers_leads_to_the_cluster(cluster):
    ports = [free_port(), cluster.servers[1].port]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    async with managers(f"redis+cluster://{hosts}") as (a, b), b.subscribe(FEED) as results:
        await a.publish("feed", 1)
        assert await take(results, 1) == [1]


async def test_a_cluster_that_is_not_there_is_told(caplog):
    port = free_port()
    url = f"redis+cluster://127.0.0.1:{port}"
    async with node(url, publish_timeout=0.3) as manager:
        with pytest.raises(PublishError) as failed:
            await manager.publish("feed", 1)
        assert failed.value.retryable and failed.value.outcome == "not_sent"
        await eventually(lambda: str(port) in caplog.text, "the log names the server")


async def test_a_server_of_the_other_kind_is_told(cluster, tmp_path, caplog):
    async with node(f"redis://127.0.0.1:{cluster.servers[0].port}", publish_timeout=0.3) as manager:
        with pytest.raises(PublishError):
            await manager.publish("feed", 1)
        await eventually(lambda: "write redis+cluster://" in caplog.text, "the log says what to do")
    caplog.clear()
    (tmp_path / "single").mkdir()
    async with RedisServer(tmp_path / "single") as single:
        url = f"redis+cluster://127.0.0.1:{single.port}"
        async with node(url, publish_timeout=0.3) as manager:
            with pytest.raises(PublishError):
                await manager.publish("feed", 1)
            await eventually(lambda: "write redis://" in caplog.text, "the log says what to do")


async def test_publishers_alone_reach_the_nodes(cluster):
    async with node(cluster.url) as manager, manager.subscribe(FEED) as results:
        async with Publisher(cluster.url) as publisher:
            await publisher.publish("feed", 1)

        def publish() -> None:
            with SyncPublisher(cluster.url) as publisher:
                publisher.publish("feed", 2)

        await asyncio.to_thread(publish)
        assert await take(results, 2) == [1, 2]


async def test_servers_that_announce_names_speak_tls(tmp_path):
    made = Credentials(tmp_path)
    authority = tmp_path / "authority.pem"
    made.authority.cert_pem.write_to_path(str(authority))
    port = free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(made.cert),
        "tls-key-file": str(made.key),
        "tls-ca-cert-file": str(authority),
        "tls-auth-clients": "no",
        "tls-cluster": "yes",
        "cluster-announce-hostname": "localhost",
        "cluster-preferred-endpoint-type": "hostname",
    }
    async with RedisCluster(tmp_path, masters=1, options=options):
        url = f"rediss+cluster://localhost:{port}?tls_ca={authority}"
        async with managers(url) as (a, b), b.subscribe(FEED) as results:
            await a.publish("feed", 1)
            assert await take(results, 1) == [1]


def documented_rules() -> list[str]:
    text = (ROOT / "docs/how-to/redis.md").read_text()
    found = re.findall(r"^ACL SETUSER bus (.+)$", text, re.MULTILINE)
    assert len(found) == 2, "docs/how-to/redis.md shows the users of a server and of a cluster"
    return shlex.split(found[1])


async def test_the_user_of_the_documentation_can_do_what_the_bus_does_and_nothing_else(cluster):
    rules = documented_rules()
    for server in cluster.servers:
        assert await server.command("ACL", "SETUSER", "bus", *rules) == "OK"
        await server.command("CONFIG", "RESETSTAT")
    url = cluster.url.replace("://", "://bus:change-me@")
    async with managers(url) as (a, b):
        for number in range(20):
            channel = f"channel {number}"
            async with b.subscribe(ANY, {"channel": channel}, extensions=BEGIN) as results:
                assert (await anext(results)).extensions["resume"]["missed"] is False
                first = await a.publish(channel, 1)
                assert await take(results, 1) == [1]
                await a.publish(channel, 2)
            async with a.subscribe(
                ANY, {"channel": channel}, extensions=after(first.position)
            ) as results:
                assert await take(results, 1) == [2]
        ended = await a.disconnect(identity=Identity("nobody"), revoke_for=60)
        assert ended.is_complete and len(ended.answered) == 2
    called = set()
    for server in cluster.servers:
        assert await server.command("ACL", "LOG") == ""
        stats = await server.command("INFO", "commandstats")
        called |= set(re.findall(r"^cmdstat_([^:]+):", stats, re.MULTILINE))
    allowed = {rule[1:] for rule in rules if rule.startswith("+")}
    # After a failover `CLUSTER SLOTS` is asked as well; `ZREM` makes room where there is none.
    assert allowed - called == {"ping", "sunsubscribe", "cluster|slots", "zrem"}
