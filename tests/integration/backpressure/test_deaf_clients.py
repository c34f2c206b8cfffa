"""Clients that read nothing are disconnected, and the servers in front close their sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from urllib.parse import urlsplit

import httpx
import pytest
from adapter_process import AdapterProcess
from support import PATIENCE, eventually
from support.protocol_client import ProtocolClient
from support.raw_websocket import RawWebSocket, open_connection
from support.servers import uvicorn, ws_url

from fraiseql_subs import SubscriptionManager, passthrough
from fraiseql_subs.adapters import _sockets
from fraiseql_subs.adapters.asgi import GraphQLApp

pytestmark = pytest.mark.attack

SERVERS = [
    "ws:websockets-sansio",
    "ws:wsproto",
    "ws:websockets",
    "http:h11",
    "starlette",
    "fastapi",
    "asgi-hypercorn",
    "asgi-granian",
    "aiohttp",
]

MANAGER = """
blob = passthrough("blob", str, channel="blob")
manager = SubscriptionManager([blob], limits=Limits({}))

async def fill_buffers(port):
    # Until the server has something for that client which the network does not take.
    import gc
    transports = [
        found for found in gc.get_objects()
        if type(found).__name__ == "_SelectorSocketTransport"
        and (found.get_extra_info("peername") or (None, None))[1] == port
    ]
    published = 0
    while not any(transport.get_write_buffer_size() for transport in transports):
        # One at a time, so that a slow server does not take the client for too slow.
        if manager.metrics().results_sent >= published:
            await manager.publish("blob", "x" * 10_000)
            published += 1
        await asyncio.sleep(0)
    return True

async def disconnect(connection_id):
    return (await manager.disconnect(connection_id=connection_id)).closed
"""

PUBLISH = 'manager.publish("blob", "x" * 50_000)'
DISCONNECT = "disconnect(manager.connections()[0].connection_id)"
QUERY = "subscription { blob }"
EVENT_STREAM = (
    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    "Accept: text/event-stream\r\nContent-Length: {length}\r\n\r\n{body}"
)


class Deaf:
    """A client that has subscribed, and then reads nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        self._reader, self._writer = reader, writer
        self.port = writer.get_extra_info("sockname")[1]

    async def is_told(self) -> None:
        """Read all data, up to the end or a reset."""
        self._writer.transport.resume_reading()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self._reader.read(), PATIENCE)


@contextlib.asynccontextmanager
async def over_websocket(url: str):
    async with RawWebSocket.connect(url) as client:
        message = {"type": "subscribe", "id": "1", "payload": {"query": QUERY}}
        await client.send(message)
        yield Deaf(client.reader, client.writer)


@contextlib.asynccontextmanager
async def over_event_stream(url: str):
    reader, writer = await open_connection(url)
    body = json.dumps({"query": QUERY})
    path = urlsplit(url).path
    writer.write(EVENT_STREAM.format(path=path, length=len(body), body=body).encode())
    try:
        yield Deaf(reader, writer)
    finally:
        writer.transport.abort()


KINDS = [over_websocket, over_event_stream]


@contextlib.asynccontextmanager
async def deaf_clients(server: AdapterProcess, name: str):
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(kind(server.url)) for kind in KINDS]

        async def are_subscribed() -> bool:
            return await server.do("manager.metrics().subscriptions") == len(clients)

        await eventually(are_subscribed, "all are subscribed")
        yield clients


async def fill(server: AdapterProcess, until: str) -> None:
    """Publish until an expression is true; pauses, so that pending data reach the network."""

    async def published() -> object:
        await server.do(PUBLISH)
        return await server.do(until)

    await eventually(published, f"{until} holds")


async def sockets_closed(server: AdapterProcess, clients: list[Deaf]) -> None:
    for client in clients:
        await eventually(lambda c=client: not server.serves(c.port), "the server closed its socket")
        await client.is_told()
    assert await server.do("manager.metrics().connections_not_cut") == 0


@pytest.mark.parametrize("name", SERVERS)
async def test_the_socket_of_a_client_that_is_too_slow_is_closed(name):
    async with (
        AdapterProcess(MANAGER.format("max_pending_bytes=200_000"), name) as server,
        deaf_clients(server, name) as clients,
    ):
        ended = f"manager.metrics().slow_consumer_disconnects == {len(clients)}"
        await fill(server, ended)
        await sockets_closed(server, clients)
        assert "ERROR" not in server.log, server.log


@pytest.mark.parametrize("name", SERVERS)
async def test_the_socket_of_a_client_that_is_disconnected_is_closed(name):
    """The client is ended while its server waits for it, before its pending results overflow."""
    async with (
        AdapterProcess(MANAGER.format("max_pending_bytes=64 * 1024 * 1024"), name) as server,
        deaf_clients(server, name) as clients,
    ):
        # More than the default buffers of the network hold.
        for _ in range(400):
            await server.do(PUBLISH)
        listed = await server.do("[c.connection_id for c in manager.connections()]")
        assert len(listed) == len(clients)
        for connection_id in listed:
            assert await server.do(f"disconnect({connection_id!r})") == 1
        await sockets_closed(server, clients)


@pytest.mark.parametrize("name", ["ws:websockets-sansio", "asgi-granian"])
async def test_a_client_that_takes_nothing_for_five_intervals_is_cut(name):
    async with (
        AdapterProcess(MANAGER.format("keepalive=0.5"), name) as server,
        deaf_clients(server, name) as clients,
    ):
        for _ in range(110):
            await server.do(PUBLISH)
            await server.do("asyncio.sleep(0.005)")
        await sockets_closed(server, clients)


@pytest.mark.parametrize("name", ["ws:websockets-sansio", "ws:wsproto"])
async def test_a_close_that_stays_in_the_buffers_of_a_server_is_bounded(name):
    """The server could send the close, and would wait until the client reads it."""
    async with (
        AdapterProcess(MANAGER.format("max_pending_bytes=64 * 1024 * 1024"), name) as server,
        over_websocket(server.url) as client,
    ):
        await fill_buffers(server, client)
        assert await server.do(DISCONNECT) == 1
        await sockets_closed(server, [client])


@pytest.mark.parametrize("name", ["http:h11"])
async def test_the_end_of_a_stream_that_stays_in_the_buffers_of_a_server_is_bounded(name):
    """The response is complete for the server, but its client reads nothing of it."""
    shorter = "\n__import__('fraiseql_subs.adapters._sockets').adapters._sockets.TAKE_TIMEOUT = 2"
    before = MANAGER.format("max_pending_bytes=64 * 1024 * 1024") + shorter
    async with AdapterProcess(before, name) as server, over_event_stream(server.url) as client:
        await fill_buffers(server, client)
        assert await server.do(DISCONNECT) == 1
        await sockets_closed(server, [client])


async def fill_buffers(server: AdapterProcess, client: Deaf) -> None:
    """Publish until the server has data that the network does not take."""

    async def is_subscribed() -> bool:
        return await server.do("manager.metrics().subscriptions") == 1

    await eventually(is_subscribed, "it is subscribed")
    assert await server.do(f"fill_buffers({client.port})"), "the network takes all"


async def test_a_reading_client_is_told_why_and_keeps_its_http_connection(monkeypatch):
    monkeypatch.setattr(_sockets, "CLOSE_TIMEOUT", 0.0)
    manager = SubscriptionManager([passthrough("blob", str, channel="blob")])
    async with manager, uvicorn(GraphQLApp(manager)) as host, httpx.AsyncClient() as http:
        client = await ProtocolClient.connect(ws_url(host))
        await client.init()
        await client.subscribe(QUERY)
        body, headers = {"query": QUERY}, {"accept": "text/event-stream"}
        url = f"http://{host}/graphql"
        async with http.stream("POST", url, json=body, headers=headers) as response:
            await eventually(lambda: manager.metrics().subscriptions == 2, "both run")
            for listed in manager.connections():
                await manager.disconnect(connection_id=listed.connection_id, code=4000, reason="x")
            await response.aread()
            port = response.extensions["network_stream"].get_extra_info("client_addr")[1]
        await client.expect_close(4000, "x")
        await eventually(lambda: not _sockets._finder()._tasks, "all that was to be cut is cut")
        answer = await http.post(url, json={"query": "{ __typename }"})
        assert answer.status_code == 200
        stream = answer.extensions["network_stream"]
        assert stream.get_extra_info("client_addr")[1] == port
        assert manager.metrics().connections_not_cut == 0


UVICORN = """
import uvicorn
from fraiseql_subs import *
from fraiseql_subs.adapters.asgi import GraphQLApp

manager = SubscriptionManager([passthrough("blob", str, channel="blob")])

async def app(scope, receive, send):
    if scope["path"] == "/publish":
        await manager.publish("blob", "x" * 50_000)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        return await send({"type": "http.response.body"})
    await served(scope, receive, send)

served = GraphQLApp(manager, drain=0.5)
with __import__("socket").create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, lifespan="off", log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
"""


async def test_a_client_that_never_reads_does_not_delay_the_end_of_uvicorn():
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", UVICORN, stdout=pipe)
    try:
        assert process.stdout is not None
        host = f"127.0.0.1:{int(await asyncio.wait_for(process.stdout.readline(), PATIENCE))}"
        async with (
            httpx.AsyncClient(timeout=PATIENCE) as http,
            over_websocket(f"ws://{host}/graphql"),
            over_event_stream(f"ws://{host}/graphql"),
        ):
            for _ in range(400):
                await http.post(f"http://{host}/publish")
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
