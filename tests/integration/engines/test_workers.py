"""Servers with several worker processes: clients of all of them are sent every event."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
from returning import after, begin, data_of, next_event, numbers, query
from support.event_streams import EVENTS, opened
from support.protocol_client import ProtocolClient
from workers import COMMANDS, Workers

every_server = pytest.mark.parametrize("server", COMMANDS)


async def publish(client: ProtocolClient, number: int) -> None:
    """Publish a number in the process that serves a client."""
    id = await client.subscribe(f"subscription {{ published(number: {number}) }}")
    assert (await client.receive_next(id))["data"]
    await client.complete(id)


@every_server
async def test_clients_of_every_worker_are_sent_every_event_and_move_without_a_gap(server, redis):
    async with Workers.run(server, redis.url) as workers, contextlib.AsyncExitStack() as stack:

        async def connect(unlike: int | None = None) -> tuple[ProtocolClient, int]:
            client, process = await workers.connect(unlike)
            stack.push_async_callback(client.close)
            return client, process

        publishers = [await connect()]
        publishers.append(await connect(publishers[0][1]))
        # Two clients of each worker.
        clients = [await connect(other) for _, other in publishers * 2]
        for client, _ in clients:
            await begin(client)
        for number in range(20):
            await publish(publishers[number % 2][0], number)
        lasts = []
        for client, _ in clients:
            received, last = await numbers(client, 20)
            assert received == list(range(20))
            lasts.append(last)
            client.kill()
        assert len(set(lasts)) == 1
        for number in range(20, 40):
            await publish(publishers[number % 2][0], number)
        for (_, process), last in zip(clients, lasts, strict=True):
            returned, _ = await connect(process)
            await returned.subscribe(query("feed"), extensions=after(last))
            received, _ = await numbers(returned, 20)
            assert received == list(range(20, 40))
            returned.kill()
        # An event stream reconnects to any of them.
        stream = opened(workers.http_url, query("feed"), EVENTS, last_event_id=lasts[0])
        async with stream as (_, body):
            await publish(publishers[0][0], 40)
            assert [data_of(await next_event(body)) for _ in range(21)] == list(range(20, 41))


@pytest.mark.parametrize("server", ["embedded", "uvicorn", "gunicorn"])
async def test_clients_of_a_worker_that_is_killed_go_on_at_another(server, redis):
    async with Workers.run(server, redis.url) as workers:
        client, victim = await workers.connect()
        other, _ = await workers.connect(victim)
        await begin(client)
        await publish(other, 1)
        received, last = await numbers(client, 1)
        assert received == [1]
        os.kill(victim, signal.SIGKILL)
        await publish(other, 2)
        await client.close()
        client, _ = await workers.connect(victim)
        await client.subscribe(query("feed"), extensions=after(last))
        await publish(other, 3)
        assert (await numbers(client, 2))[0] == [2, 3]
        await client.close()
        await other.close()
