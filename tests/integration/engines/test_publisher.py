"""Publishing from a process without a server reaches the subscribers of every node."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from support import PATIENCE, eventually
from support.paths import ROOT
from support.redis_server import RedisServer

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    Publisher,
    PublishError,
    Security,
    SubscriptionManager,
    SyncPublisher,
    TenantIsolation,
    passthrough,
)

SCRIPT = ROOT / "examples" / "other_languages" / "publish.lua"

ticks = passthrough("ticks", int, channel="ticks")
TICKS = "subscription { ticks }"


@pytest.fixture
async def redis(tmp_path) -> AsyncIterator[RedisServer]:
    """A private Redis."""
    async with RedisServer(tmp_path) as server:
        yield server


async def receive(stream: Any, count: int) -> list[Any]:
    """Return the data of the next results."""
    results = [await asyncio.wait_for(anext(stream), PATIENCE) for _ in range(count)]
    assert all(result.errors is None for result in results), results
    return [result.data["ticks"] for result in results]


@pytest.mark.parametrize("kind", ["async", "sync", "batch", "sync batch"])
async def test_an_event_reaches_the_subscribers_of_a_node(redis, kind):
    manager = SubscriptionManager([ticks], bus=redis.url)
    async with manager, manager.subscribe(TICKS) as stream:
        if kind in ("async", "batch"):
            async with Publisher(redis.url) as publisher:
                if kind == "batch":
                    receipts = await publisher.publish_many([("ticks", 1), ("ticks", 2)])
                else:
                    receipts = [await publisher.publish("ticks", number) for number in (1, 2)]
        else:
            with SyncPublisher(redis.url) as sync:
                if kind == "sync batch":
                    events = [("ticks", 1), {"channel": "ticks", "data": 2}]
                    receipts = await asyncio.to_thread(sync.publish_many, events)
                else:
                    receipts = [
                        await asyncio.to_thread(sync.publish, "ticks", number) for number in (1, 2)
                    ]
        assert await receive(stream, 2) == [1, 2]
        third = await manager.publish("ticks", 3)
    positions = [receipt.position for receipt in [*receipts, third]]
    assert all(positions) and len(set(positions)) == 3
    assert [receipt.offset for receipt in [*receipts, third]] == [1, 2, 3]


async def test_an_event_that_is_published_again_with_its_id_is_one_event(redis):
    manager = SubscriptionManager([ticks], bus=redis.url)
    async with manager, manager.subscribe(TICKS) as stream, Publisher(redis.url) as publisher:
        receipts = [await publisher.publish("ticks", 1, event_id="paid-7") for _ in range(5)]
        await publisher.publish("ticks", 2)
        assert await receive(stream, 2) == [1, 2]
    assert receipts == [receipts[0]] * 5
    assert receipts[0].event_id == "paid-7"


async def test_order_is_that_of_the_calls(redis):
    manager = SubscriptionManager([ticks], bus=redis.url)
    async with manager, manager.subscribe(TICKS) as stream, Publisher(redis.url) as publisher:
        calls = [asyncio.ensure_future(publisher.publish("ticks", n)) for n in range(200)]
        await asyncio.gather(*calls)
        assert await receive(stream, 200) == list(range(200))


async def test_a_tenant_is_published_to_alone(redis):
    manager = SubscriptionManager(
        [ticks], bus=redis.url, security=Security(tenant=TenantIsolation())
    )
    mine, other = (Identity(user_id="1", tenant_id=name) for name in ("mine", "other"))
    async with (
        manager,
        manager.subscribe(TICKS, identity=mine) as stream,
        manager.subscribe(TICKS, identity=other) as others,
        Publisher(redis.url, tenant=TenantIsolation()) as publisher,
    ):
        await publisher.publish("ticks", 1, tenant_id="other")
        await publisher.publish("ticks", 2, tenant_id="mine")
        assert await receive(stream, 1) == [2]
        assert await receive(others, 1) == [1]
        wrong = {"channel": "ticks", "data": {"tenant_id": "mine"}, "tenant_id": "other"}
        with pytest.raises(PublishError, match=r"^tenant_id is `other`"):
            await publisher.publish(**wrong)
        with pytest.raises(PublishError, match=r"^events\[1\]: tenant_id is `other`"):
            await publisher.publish_many([("ticks", 1), wrong])
        with SyncPublisher(redis.url, tenant=TenantIsolation()) as sync:
            with pytest.raises(PublishError, match=r"^tenant_id is `other`"):
                sync.publish(**wrong)
            with pytest.raises(PublishError, match=r"^events\[1\]: tenant_id is `other`"):
                sync.publish_many([("ticks", 1), wrong])
            with pytest.raises(PublishError, match=r"^data: "):
                sync.publish("ticks", object())
            with pytest.raises(PublishError, match=r"^events\[1\].data: "):
                sync.publish_many([("ticks", 1), ("ticks", object())])


@pytest.mark.parametrize("is_isolated", [True, False])
async def test_a_publisher_that_was_told_otherwise_of_isolation_is_refused(redis, is_isolated):
    """Its events would reach no client."""
    isolation = TenantIsolation()
    security = Security(tenant=isolation if is_isolated else None)
    manager = SubscriptionManager([ticks], bus=redis.url, security=security)
    tenant = None if is_isolated else isolation
    async with manager:
        await eventually(lambda: redis.command("GET", "fs1:layout"), "the manager has connected")
        publisher = Publisher(redis.url, tenant=tenant, publish_timeout=1.0)

        async def is_refused() -> bool:
            with pytest.raises(PublishError) as failed:
                await publisher.publish("ticks", 1, tenant_id="mine")
            return "set the same tenant= in all" in str(failed.value)

        async with publisher:
            await eventually(is_refused, "the error says what differs")


@pytest.mark.alone
async def test_events_of_other_programs_without_a_tenant_are_noticed(redis, caplog):
    """No subscriber may see them; a node says so once, and counts."""
    security = Security(tenant=TenantIsolation())
    manager = SubscriptionManager([ticks], bus=redis.url, security=security)
    mine = Identity(user_id="1", tenant_id="mine")
    async with manager, manager.subscribe(TICKS, identity=mine) as stream:
        # What the manager publishes itself is counted once.
        await manager.publish("ticks", 0)
        for _ in range(3):
            await redis.command("--eval", str(SCRIPT), ",", "ticks", "{}")
        counted = lambda: manager.metrics().events_without_tenant == 4  # noqa: E731
        await eventually(counted, "all are counted")
        await manager.publish("ticks", 3, tenant_id="mine")
        assert await receive(stream, 1) == [3]
        assert manager.metrics().events_without_tenant == 4
    told = [each for each in caplog.records if "another program publishes" in each.getMessage()]
    assert len(told) == 1 and "publish it for a tenant" in told[0].getMessage()


@pytest.mark.alone
async def test_a_publisher_under_isolation_is_told_of_events_without_a_tenant(redis, caplog):
    async with Publisher(redis.url, tenant=TenantIsolation()) as publisher:
        for number in range(3):
            await publisher.publish("ticks", number)
    told = [each for each in caplog.records if "reaches no client" in each.getMessage()]
    assert len(told) == 1 and "publish with tenant_id=" in told[0].getMessage()


@dataclass
class Point:
    x: int


async def test_data_is_what_a_manager_takes(redis):
    async with Publisher(redis.url) as publisher:
        await publisher.publish("points", Point(1))
        with pytest.raises(PublishError, match="data"):
            await publisher.publish("points", object())
        with pytest.raises(PublishError, match="channel"):
            await publisher.publish("", 1)
        with pytest.raises(PublishError, match="the event_id is empty"):
            await publisher.publish("points", 1, event_id="")


async def test_without_an_engine_the_error_says_what_is_known(redis):
    url = redis.url
    await redis.kill()
    async with Publisher(url, on_unavailable="fail") as publisher:
        with pytest.raises(PublishError) as failed:
            await publisher.publish("ticks", 1)
        assert failed.value.retryable
        assert failed.value.outcome == "not_sent"


async def test_a_closed_publisher_says_so(redis):
    publisher = Publisher(redis.url)
    await publisher.publish("ticks", 1)
    await publisher.close()
    await publisher.close()
    with pytest.raises(PublishError, match="closed"):
        await publisher.publish("ticks", 2)


@pytest.mark.parametrize("kind", [Publisher, SyncPublisher])
@pytest.mark.parametrize("url", ["memory://", "", "redis", None, "http://x"])
def test_a_bus_that_reaches_no_process_is_refused(kind, url):
    with pytest.raises(ConfigurationError, match="bus"):
        kind(url)


PROGRAM = """
import os, sys
from fraiseql_subs import SyncPublisher

publisher = SyncPublisher(sys.argv[1])
publisher.publish("ticks", 1)
child = os.fork()
if child == 0:
    publisher.publish("ticks", 2)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
publisher.publish("ticks", 3)
# It is not closed: the end of the program does.
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_a_forked_process_publishes_and_a_program_ends_without_closing(redis):
    manager = SubscriptionManager([ticks], bus=redis.url)
    async with manager, manager.subscribe(TICKS) as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "ignore",
            "-c",
            PROGRAM,
            redis.url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, output.decode()
        assert await receive(stream, 3) == [1, 2, 3]


FORKS = """
import os, sys
from fraiseql_subs import SyncPublisher

publisher = SyncPublisher(sys.argv[1])
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        receipt = publisher.publish("ticks", number)
        os.write(1, f"{receipt.event_id}\\n".encode())
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
async def test_every_event_of_several_forked_processes_is_published(redis):
    manager = SubscriptionManager([ticks], bus=redis.url)
    async with manager, manager.subscribe(TICKS) as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", FORKS, redis.url, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0
        assert len(set(output.decode().split())) == 4
        assert sorted(await receive(stream, 4)) == [0, 1, 2, 3]


async def test_a_publisher_that_is_forgotten_ends(redis):
    for _ in range(20):
        publisher = Publisher(redis.url)
        task = asyncio.ensure_future(publisher.publish("ticks", 1))
        await asyncio.sleep(0)
        task.cancel()
        del publisher, task
        gc.collect()


async def test_an_id_of_one_channel_is_no_position_in_another(redis):
    """Also after a restart of Redis, when all streams have a new epoch at once."""
    channels = ["ticks", *(f"other.{number}" for number in range(5))]
    async with Publisher(redis.url) as publisher:
        receipts = await publisher.publish_many([(channel, 1) for channel in channels])
    positions = {receipt.position for receipt in receipts}
    assert len(positions) == len(channels)
