"""X8: programs of a later version write beside those of this one, as in a rolling upgrade."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from deployment import STREAMS, Deployment
from producer import Producer, envelope, extension
from promises import check
from support.ledger import Entry, Ledger

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]

MIN_READER = 0
"""Key of the extension that says which version a reader has to know."""

FOR_ALL = extension(MIN_READER, b"\x01")

READABLE: dict[str, dict[str, Any]] = {
    "unknown extensions": {"extensions": extension(7, b"later") + extension(200)},
    "a long extension": {"extensions": extension(7, bytes(60_000))},
    "the next version": {"version": 2, "extensions": FOR_ALL},
    "the last version": {"version": 31, "extensions": FOR_ALL},
    "more behind the lowest version": {
        "version": 2,
        "extensions": extension(MIN_READER, b"\x01\xff\xff"),
    },
    "extensions around it": {
        "version": 2,
        "extensions": extension(9, b"x") + FOR_ALL + extension(8),
    },
    "flags that mean nothing yet": {"version": 2, "flags": 0xF0, "extensions": FOR_ALL},
}

UNREADABLE: dict[str, dict[str, Any]] = {
    "for readers of version 2": {"version": 2, "extensions": extension(MIN_READER, b"\x02")},
    "for readers it does not name": {"version": 2},
    "an empty lowest version": {"version": 2, "extensions": extension(MIN_READER)},
    "data that are compressed": {"version": 2, "flags": 1, "extensions": FOR_ALL},
    "data that are signed": {"version": 2, "flags": 2, "extensions": FOR_ALL},
    "flags of this version": {"flags": 0x10},
    "an extension twice": {"extensions": extension(7) + extension(7)},
    "an extension that is cut": {"extensions": extension(7, b"abc")[:-1]},
    "past the last version": {"version": 32, "extensions": FOR_ALL},
}


def written(entry: Entry, **options: Any) -> bytes:
    """Write the envelope of an entry."""
    return envelope(
        json.dumps(entry.data()).encode(),
        tenant=entry.stream.tenant,
        channel=entry.stream.channel,
        event_id=entry.id,
        **options,
    )


async def publish(ledger: Ledger, foreign: Producer, **options: Any) -> None:
    """Publish the next event of a stream by a program of another version."""
    entry = ledger.begin(foreign.stream)
    entry.position = await foreign.append(written(entry, **options))
    entry.outcome = "ok"


async def refuse(ledger: Ledger, foreign: Producer, **options: Any) -> None:
    """The same, in a version that no node reads."""
    entry = ledger.begin(foreign.stream)
    await foreign.append(written(entry, **options))
    entry.outcome = "not_sent"


def later(deployment: Deployment) -> Ledger:
    """Return the ledger of the other program."""
    return deployment.ledger.beside(deployment.manager, "a later version")


async def test_what_is_written_for_this_version_too_is_read(redis, deploy):
    deployment = await deploy(redis, clients=40)
    await deployment.settle()
    foreign = await Producer.of(redis, STREAM)
    for options in READABLE.values():
        for _ in range(2):
            await publish(later(deployment), foreign, **options)
            await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    for node in deployment.nodes:
        assert await node.server.metric("bus_unreadable") == 0


async def test_what_is_written_for_later_versions_alone_is_counted(redis, deploy):
    """Nothing is missed: what cannot be read is no event for this node."""
    deployment = await deploy(redis, clients=40)
    await deployment.settle()
    foreign = await Producer.of(redis, STREAM)
    for options in UNREADABLE.values():
        await refuse(later(deployment), foreign, **options)
        await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    for node in deployment.nodes:
        assert await node.server.metric("bus_unreadable") >= len(UNREADABLE)
        assert "newer than this program reads" in node.server.log


async def test_programs_of_two_versions_publish_while_nodes_are_replaced(redis, deploy):
    """Live and from history; clients leave a node that ends and go on at another."""
    streams = STREAMS[:4]
    deployment = await deploy(redis, streams=streams, clients=8, nodes=2)
    await deployment.settle()
    foreign = [await Producer.of(redis, stream) for stream in streams]
    is_over = asyncio.Event()

    async def write(to: Producer) -> None:
        cases = [*READABLE.values()]
        while not is_over.is_set():
            await publish(later(deployment), to, **cases[deployment.ledger.order % len(cases)])

    writing = asyncio.gather(*map(write, foreign))
    try:
        async with deployment.traffic() as traffic:
            await traffic.accepts()
            first, second = deployment.nodes
            for node in deployment.nodes:
                node.proxy.cut()
            await traffic.accepts()
            movers = deployment.clients_of(first)
            for observation in movers:
                deployment.disconnect(observation)
            first.server.process.kill()
            await first.server.process.wait()
            third = await deployment.add_node()
            await deployment.move(movers, [second, third])
            await traffic.accepts()
    finally:
        is_over.set()
        await writing
    await deployment.settle()
    check(deployment, nothing_missed=True)
