"""Measures events under way, the intake of a node, one core of Redis, and resumes.

Each function returns rows: what was measured, and figures by name. Not here: tables (report.py).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fraiseql_subs import History, Publisher
from load_tests.driver import Client, Node
from load_tests.intake import CHANNELS, OTHER_USER, PENDING, best, publish, taken
from load_tests.node import EVENT
from load_tests.redis_server import RedisServer
from load_tests.tables import Row

NO_LIMIT = {"client-output-buffer-limit": "pubsub 0 0 0"}
"""Redis keeps everything for a paused node."""


@dataclass(frozen=True)
class Size:
    """Amounts to measure.

    Attributes:
        runs: Runs, of which the best counts (count).
        events: Events of a run of `under_way` (count).
        bulk: Events of a run of `intake` and `one_core` (count).
        resumes: Resumes of a run (count).
    """

    runs: int
    events: int
    bulk: int
    resumes: int


# Multiples of whole batches on each channel.
FULL = Size(runs=5, events=6_400, bulk=65_536, resumes=100)
QUICK = Size(runs=1, events=1_280, bulk=16_384, resumes=20)


def history(has_history: bool) -> History | None:
    """Return the setting of a publisher."""
    return History() if has_history else None


async def under_way(size: Size) -> list[Row]:
    """Measure an event for one subscriber when 64 are under way."""
    rows = [await _under_way(size, "memory bus", None, by_itself=True, has_history=True)]
    for has_history in (True, False):
        kind = "Redis" if has_history else "Redis, `history=None`"
        for by_itself in (False, True):
            by = "the node itself" if by_itself else "another process"
            with RedisServer() as redis:
                rows.append(
                    await _under_way(
                        size,
                        f"{kind}, published by {by}",
                        redis,
                        by_itself=by_itself,
                        has_history=has_history,
                    )
                )
    for row in rows:
        row["more"] = row["node_us"] - rows[0]["node_us"]
    return rows


async def _under_way(
    size: Size, what: str, redis: RedisServer | None, *, by_itself: bool, has_history: bool
) -> Row:
    bus = redis.url if redis else "memory://"
    async with Node(bus, has_history=has_history) as node, Client(node) as client:
        if by_itself:
            return await _rounds(size, what, redis, node, client, node.publish)
        async with Publisher(bus, history=history(has_history)) as publisher:

            async def publish_batch(count: int) -> None:
                await publisher.publish_many([("feed", EVENT)] * count)

            return await _rounds(size, what, redis, node, client, publish_batch)


async def _rounds(
    size: Size,
    what: str,
    redis: RedisServer | None,
    node: Node,
    client: Client,
    publish_batch: Callable[[int], Awaitable[None]],
) -> Row:
    # The first subscription reports when Redis delivers the channel. The second is measured.
    await client.begin("feed")
    await client.subscribe("feed")
    await client.complete("1")
    found = []
    for run in range(size.runs + 1):
        before, broker = await node.stats(), redis.cpu_seconds() if redis else 0.0
        for _ in range(size.events // PENDING):
            await publish_batch(PENDING)
            await client.take(PENDING)
        after = await node.stats()
        used = redis.cpu_seconds() - broker if redis else 0.0
        if run > 0:
            found.append((after["cpu"] - before["cpu"], used))
    cpu, used = min(found)
    return {
        "what": what,
        "node_us": cpu * 1e6 / size.events,
        "redis_us": used * 1e6 / size.events if redis else None,
    }


async def intake(size: Size) -> list[Row]:
    """Measure what a node takes in when no event matches a subscription."""
    unwanted = [f"{channel}.unwanted" for channel in CHANNELS]
    with RedisServer(NO_LIMIT) as redis:
        async with (
            Node(redis.url) as node,
            Client(node) as client,
            Publisher(redis.url) as publisher,
        ):
            for channel in CHANNELS:
                await client.begin(channel, user=OTHER_USER)

            async def row(what: str, channels: list[str], *, is_paused: bool = False) -> Row:
                # The first run creates keys and grows tables.
                rows = [
                    await taken(
                        redis,
                        node,
                        lambda: publish(publisher, channels, size.bulk, PENDING),
                        size.bulk,
                        is_wanted=channels is CHANNELS,
                        stopped=[node.pid] if is_paused else [],
                    )
                    for _ in range(size.runs + 1)
                ]
                return {"what": what, **best(rows[1:])}

            return [
                await row("wanted, none matches, all wait in Redis", CHANNELS, is_paused=True),
                await row("wanted, none matches, as one publisher publishes", CHANNELS),
                await row("not wanted, as one publisher publishes", unwanted),
            ]


async def one_core(size: Size) -> list[Row]:
    """Measure what one Redis does, by the size of batches, while no node wants the events."""
    rows = []
    for has_history in (True, False):
        for batch in (1, 8, PENDING):
            with RedisServer() as redis:
                async with Publisher(redis.url, history=history(has_history)) as publisher:
                    rows.append(await _batches(size, redis, publisher, has_history, batch))
    return rows


async def _batches(
    size: Size, redis: RedisServer, publisher: Publisher, has_history: bool, batch: int
) -> Row:
    # Small batches take long.
    events = size.bulk if batch == PENDING else size.bulk // 4
    await publish(publisher, CHANNELS, events // 4, batch)
    rows = []
    for _ in range(size.runs):
        broker, start = redis.cpu_seconds(), time.perf_counter()
        await publish(publisher, CHANNELS, events, batch)
        seconds = time.perf_counter() - start
        used = redis.cpu_seconds() - broker
        kind = "history" if has_history else "`history=None`"
        rows.append(
            {
                "what": f"{kind}, batches of {batch}",
                "per_second": events / seconds,
                "redis_us": used * 1e6 / events,
                "core": events / used,
            }
        )
    return max(rows, key=lambda row: row["core"])


async def resumes(size: Size) -> list[Row]:
    """Count the calls to Redis for clients that return."""
    with RedisServer() as redis:
        async with Node(redis.url) as node, Client(node) as staying, Client(node) as client:
            await staying.begin("feed")
            await node.publish(10)
            ids = [
                (await staying.receive())["payload"]["extensions"]["resume"]["id"]
                for _ in range(10)
            ]
            rows = [await _returning(size, redis, client, "local history", ids[4], 5)]
            async with Node(redis.url) as other, Client(other) as elsewhere:
                one = Size(size.runs, size.events, size.bulk, 1)
                what = "a node that has none of it"
                rows.append(await _returning(one, redis, elsewhere, what, ids[4], 5))
    return rows


async def _returning(
    size: Size, redis: RedisServer, client: Client, what: str, after: str, missed: int
) -> Row:
    before = redis.calls()
    for _ in range(size.resumes):
        name = await client.subscribe("feed", resume={"after": after})
        for _ in range(missed):
            assert (await client.receive())["payload"]["data"], "it is told what it missed"
        await client.complete(name)
    calls = {name: n - before.get(name, 0) for name, n in redis.calls().items()}
    # Called by this program, to count.
    del calls["info"]
    seen = {name: n for name, n in calls.items() if n}
    return {
        "what": what,
        "resumes": size.resumes,
        "calls": sum(seen.values()),
        "commands": ", ".join(f"{name} {n}" for name, n in seen.items()) or "none",
    }
