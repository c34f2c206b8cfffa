"""Deploys: npm clients reconnect by themselves when a server drains."""

from __future__ import annotations

import signal

import pytest
from restarted import PROGRAMS, Application, ended, terminated
from support.node import NodeProcess
from support.protocol_client import ProtocolClient
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import SubscriptionManager, passthrough

QUERY = "subscription { process }"

SOCKETS = ["graphql-ws", "subscriptions-transport-ws"]
STREAMS = ["graphql-sse", "graphql-sse-single", "apollo-multipart"]


def clients_of(name: str) -> list[str]:
    if name == "aiohttp":
        return SOCKETS
    # The requests of one reserved stream would reach different processes.
    several = name == "uvicorn-workers"
    return [*SOCKETS, *(c for c in STREAMS if not (several and c == "graphql-sse-single"))]


async def everybody_hears(node: NodeProcess, clients: list[str], but: set[int]) -> set[int]:
    """Return when each client has an event of a process other than these."""
    heard: dict[str, int] = {}
    while heard.keys() != set(clients):
        line = await node.read()
        assert "ended" not in line, line
        process = line["data"]["process"]
        if process not in but:
            heard[line["client"]] = process
    return set(heard.values())


@pytest.mark.parametrize("name", PROGRAMS)
async def test_clients_come_back_after_a_restart(name, tmp_path):
    """Operations under way are answered before the close."""
    application, clients = Application(name, tmp_path), clients_of(name)
    async with NodeProcess.run("restart.mjs", application.url, QUERY, *clients) as node:
        async with application.run() as first:
            before = await everybody_hears(node, clients, set())
            socket = await ProtocolClient.connect(application.url.replace("http", "ws"))
            await socket.init()
            subscription = await socket.subscribe(QUERY)
            query = await socket.subscribe("{ slow }")
            assert first.stdout is not None
            while await first.stdout.readline() != b"asked\n":
                pass
            first.send_signal(signal.SIGTERM)
            types = await types_until_the_close(socket)
            assert types[query] == ["next", "complete"]
            assert set(types.get(subscription, ["next"])) == {"next"}
            assert socket.socket.close_code == 1001
            status, err = await ended(first)
            assert "Traceback" not in err and "Error" not in err, err
            assert status in (0, -signal.SIGTERM), err
        async with application.run():
            await everybody_hears(node, clients, before)


async def types_until_the_close(socket: ProtocolClient) -> dict[str, list[str]]:
    """Return the types of the remaining messages, by operation."""
    types: dict[str, list[str]] = {}
    with pytest.raises(ConnectionClosed):
        while True:
            message = await socket.receive()
            types.setdefault(message["id"], []).append(message["type"])
    return types


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse"])
async def test_clients_that_resume_receive_the_events_published_in_between(client):
    feed = passthrough("feed", int, channel="feed")
    async with SubscriptionManager([feed]) as manager:
        async with manager.serve(port=0) as server:
            port, url = server.port, server.http_url
            running = NodeProcess.run("resume.mjs", client, url, "subscription { feed }")
            node = await running.__aenter__()
            assert await node.read() == {"data": None, "missed": False}
            await manager.publish("feed", 1)
            assert (await node.read())["data"] == {"feed": 1}
        await manager.publish_many([("feed", 2), ("feed", 3)])
        async with manager.serve(port=port):
            await manager.publish("feed", 4)
            for number in (2, 3, 4):
                assert (await node.read())["data"] == {"feed": number}
        await running.__aexit__(None, None, None)


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse"])
async def test_a_client_that_resumes_at_another_process_is_told_that_it_has_missed_events(
    client, tmp_path
):
    application = Application("run", tmp_path)
    async with NodeProcess.run("resume.mjs", client, application.url, QUERY) as node:
        async with application.run() as first:
            assert await node.read() == {"data": None, "missed": False}
            await node.read()
            await terminated(first)
        async with application.run():
            while (line := await node.read()).get("missed") is None:
                pass
            assert line == {"data": None, "missed": True}
            assert (await node.read())["data"]["process"]
