"""PostgreSQL as a source of nodes over Redis: it ends, its links do, and nodes that read it do.

What is published goes into PostgreSQL, and reaches the clients of all nodes through the one that
reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deployment import Deployment, Node
from promises import check
from support import eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import Postgres, Security, SubscriptionManager, TenantIsolation, passthrough

pytestmark = pytest.mark.faults

END_READERS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication"


@contextlib.asynccontextmanager
async def prepared(**settings: str) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(**settings) as server:
        server.install()
        yield server


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """A server that gives up a link after three seconds without a sign."""
    async with prepared(wal_sender_timeout="3s") as server:
        yield server


@pytest.fixture
def start(redis, deploy) -> Any:
    """Start nodes with a source, of which one reads, and a publisher into PostgreSQL."""

    async def start(postgres: PostgresServer, **options: Any) -> Deployment:
        # The slot is made before there are clients, who would be told that the source begins.
        first = SubscriptionManager(
            [passthrough("unused", str, channel="unused")],
            bus=redis.url,
            security=Security(tenant=TenantIsolation()),
            sources=[Postgres(postgres.url)],
        )
        async with first:
            await eventually(lambda: first.metrics().source_reads, "the first node reads")
        deployment = await deploy(
            redis,
            publisher_url=postgres.url,
            publish_timeout=20.0,
            options=f"sources=[Postgres({postgres.url!r})]",
            **options,
        )
        await reader(deployment)
        return deployment

    return start


async def reader(deployment: Deployment, *, but: Node | None = None) -> Node:
    """Wait until one node reads; return it."""
    nodes = [node for node in deployment.nodes if node is not but and node.server.is_running]

    async def reads() -> Node | None:
        for node in nodes:
            if await node.server.metric("source_reads"):
                return node
        return None

    found = await eventually(reads, "a node reads")
    assert found is not None
    return found


def check_of(deployment: Deployment, *, nothing_missed: bool = True) -> None:
    # A receipt of PostgreSQL has the position there. A lost answer is not asked for again.
    check(
        deployment,
        nothing_missed=nothing_missed,
        may_be_refused=True,
        positions_are_shared=False,
    )


async def test_without_a_fault_nothing_is_missed(postgres, start):
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        await traffic.accepts(5)
    await deployment.settle()
    check_of(deployment)


async def test_postgres_crashes_and_comes_back(postgres, start):
    """P1."""
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await postgres.kill()
        await postgres.start()
        await traffic.accepts()
    await deployment.settle()
    check_of(deployment)


async def test_the_link_of_the_reader_is_ended_again_and_again(postgres, start):
    """P2."""
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        for _ in range(8):
            await postgres.sql(END_READERS)
            await traffic.accepts(1)
    await deployment.settle()
    check_of(deployment)


async def test_a_slot_is_lost_while_the_bus_is_away(start):
    """P3: nodes are cut off from Redis, and PostgreSQL may not keep what they do not publish."""
    keeps = {"max_slot_wal_keep_size": "32MB", "max_wal_size": "64MB", "min_wal_size": "32MB"}
    async with prepared(**keeps) as postgres:
        deployment = await start(postgres)
        async with deployment.traffic() as traffic:
            await traffic.accepts()
            await deployment.hold(deployment.nodes)
            await traffic.accepts()
            lost = "SELECT count(*) FROM pg_replication_slots WHERE wal_status = 'lost'"
            for _ in range(20):
                await postgres.sql(
                    "SELECT pg_logical_emit_message(false, 'filling', repeat('x', 100000)) "
                    "FROM generate_series(1, 250)"
                )
                await postgres.sql("SELECT pg_switch_wal()")
                await postgres.sql("CHECKPOINT")
                if await postgres.sql(lost) == "1":
                    break
            await deployment.release(deployment.nodes)
            await reader(deployment)
            await traffic.accepts()
        await deployment.settle()
        # Each client was told of what is lost, in its place.
        check_of(deployment, nothing_missed=False)
        assert all(one.missed for one in deployment.observations)
        logs = "".join(node.server.log for node in deployment.nodes)
        assert "the replication slot was lost" in logs


async def test_a_reader_that_stands_still_is_replaced_and_publishes_nothing_later(postgres, start):
    """P10."""
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        still = await reader(deployment)
        deployment.suspend(still)
        try:
            await reader(deployment, but=still)
            await traffic.accepts(5)
        finally:
            deployment.go_on(still)
        await traffic.accepts(5)
    await deployment.settle()
    check_of(deployment)
    assert await reader(deployment) is not still


async def test_a_reader_is_killed_and_its_clients_go_on_elsewhere(postgres, start):
    """P9: what it has published and not confirmed is published again, and arrives once."""
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        killed = await reader(deployment)
        others = [node for node in deployment.nodes if node is not killed]
        killed.server.process.kill()
        await killed.server.process.wait()
        await deployment.move(deployment.clients_of(killed), others)
        deployment.nodes.remove(killed)
        await reader(deployment)
        await traffic.accepts(5)
    await deployment.settle()
    check_of(deployment)


async def test_nodes_are_cut_off_from_the_bus_for_a_while(postgres, start):
    deployment = await start(postgres)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await deployment.hold(deployment.nodes)
        await traffic.accepts(5)
        await deployment.release(deployment.nodes)
        await traffic.accepts(5)
    await deployment.settle()
    check_of(deployment)


@pytest.mark.slow_fault
@pytest.mark.timeout(1800)
async def test_a_transaction_of_a_million_events_beside_one_that_is_open(postgres, start):
    """P5: memory is bounded, and others go on."""
    deployment = await start(postgres)
    opened = asyncio.create_task(
        postgres.sql(
            "BEGIN; SELECT fraiseql_subs.publish('open', '1', 'acme'); SELECT pg_sleep(30); COMMIT"
        )
    )
    async with deployment.traffic(pause=1.0) as traffic:
        await traffic.accepts(1)
        large = (
            "SELECT count(fraiseql_subs.publish('large' || n % 100, to_jsonb(n), 'acme')) "
            "FROM generate_series(1, 1000000) AS n"
        )
        await postgres.sql(large)
    published = 0

    async def goes_on() -> int:
        metrics = [await node.server.metric("source_events") for node in deployment.nodes]
        return sum(metrics) if sum(metrics) > published else 0

    while published < 1_000_000:
        published = await eventually(goes_on, "more events are published")
    await opened
    await deployment.settle()
    check_of(deployment)
