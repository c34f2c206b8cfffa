"""Slow clients before authentication are bounded in time and in number."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.server_process import ServerProcess, manager

pytestmark = pytest.mark.attack

QUICK = "request_timeout=0.5, send_timeout=0.5"
HEAD = (
    b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n"
)
PAGE = b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n"


class Client:
    """A client of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, sent: bytes = b"", *, is_small: bool = False) -> Client:
        """Connect; with `small`, the client has a small receive buffer."""
        client_socket = socket.socket()
        client_socket.setblocking(False)
        if is_small:
            client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(client_socket, ("127.0.0.1", port))
        client = cls(*await asyncio.open_connection(sock=client_socket, limit=1 << 24))
        client.writer.write(sent)
        return client

    async def rest(self) -> bytes:
        """Return all data until the server closes."""
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(self.reader.read(1 << 16), PATIENCE):
                received += part
        return received

    async def status(self) -> int:
        return int((await asyncio.wait_for(self.reader.readline(), PATIENCE)).split()[1])

    async def trickle(self) -> None:
        """Send a byte from time to time, until the server closes."""
        with contextlib.suppress(ConnectionError):
            while not self.reader.at_eof():
                self.writer.write(b"a")
                await self.writer.drain()
                await asyncio.sleep(0.02)

    def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def connected():
    """Connect clients; they leave when the test ends."""
    clients: list[Client] = []

    async def connect(port: int, sent: bytes = b"", **options: bool) -> Client:
        clients.append(await Client.connect(port, sent, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


async def all_gone(server: ServerProcess, before: int) -> None:
    await eventually(lambda: server.descriptors <= before, "the server has closed all sockets")


async def test_a_body_that_trickles_is_answered_with_408_and_its_socket_is_closed(connected):
    async with ServerProcess(manager(f"limits=Limits({QUICK})")) as server:
        before = server.descriptors
        clients = [await connected(server.port, HEAD + b"\r\n{") for _ in range(50)]
        sending = [asyncio.create_task(client.trickle()) for client in clients]
        for response in await asyncio.gather(*(client.rest() for client in clients)):
            assert response.startswith(b"HTTP/1.1 408 ")
            assert b"the body took too long" in response
        await asyncio.gather(*sending)
        await all_gone(server, before)
        await eventually(server.answers, "another client is served")


async def test_requests_take_places_from_their_heads_on(connected):
    limits = "limits=Limits(max_connections=3, request_timeout=600)"
    async with ServerProcess(manager(limits)) as server:
        before = server.descriptors
        held = [await connected(server.port, HEAD + b"\r\n{") for _ in range(3)]
        # The first ones have the places. The server waits for no body of the others.
        refused = await connected(server.port, HEAD + b"\r\n")
        response = await refused.rest()
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"too many connections" in response
        more = [await connected(server.port, HEAD + b"\r\n{") for _ in range(50)]
        for response in await asyncio.gather(*(client.rest() for client in more)):
            assert response.startswith(b"HTTP/1.1 503 ")
        await eventually(lambda: server.descriptors <= before + 3, "only the three are held")
        held.pop().close()
        await eventually(server.answers, "the place of a client that left is free")


async def test_no_body_is_requested_for_a_head_that_is_refused(connected):
    options = 'security=Security(hosts=["localhost", "127.0.0.1"], origins=["https://a.example"])'
    async with ServerProcess(manager(options)) as server:
        for sent in (
            HEAD.replace(b"localhost", b"elsewhere.example"),
            HEAD + b"Origin: https://b.example\r\n",
        ):
            client = await connected(server.port, sent + b"\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 403 ")


async def test_places_are_free_when_responses_are_written(connected):
    async with ServerProcess(manager("limits=Limits(max_connections=1)")) as server:
        client = await connected(server.port)
        body = b'{"query":"{ __typename }"}'
        request = HEAD.replace(b"100000", str(len(body)).encode()) + b"\r\n" + body
        for _ in range(200):
            client.writer.write(request)
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 200 ")
            await client.reader.readuntil(b"}}")


SLOW = {
    "the head of a first request": [b"GET /graphql HTTP/1.1\r\nX: "],
    "the head of a second request": [PAGE, b"GET /graphql HTTP/1.1\r\nX: "],
    "a body that nothing reads": [
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n"
    ],
    "a body of a known length that nothing reads": [
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    ],
}


@pytest.mark.parametrize("parts", SLOW.values(), ids=SLOW)
async def test_what_trickles_is_ended(parts, connected):
    async with ServerProcess(manager(f"limits=Limits({QUICK})")) as server:
        before = server.descriptors
        clients = [await connected(server.port, parts[0]) for _ in range(10)]
        for client in clients:
            for part in parts[1:]:
                await asyncio.wait_for(client.reader.readuntil(b"</html>"), PATIENCE)
                client.writer.write(part)
        sending = [asyncio.create_task(client.trickle()) for client in clients]
        await asyncio.gather(*sending, *(client.rest() for client in clients))
        await all_gone(server, before)
        await eventually(server.answers, "another client is served")


# A span below the half second in which the clock of actix-http stands still.
@pytest.mark.parametrize("request_timeout", [0.1, 0.5])
@pytest.mark.parametrize("sent", [b"", PAGE], ids=["at once", "after a request"])
async def test_a_connection_without_a_request_is_closed(sent, request_timeout, connected):
    async with ServerProcess(manager(f"limits=Limits({request_timeout=})")) as server:
        before = server.descriptors
        clients = [await connected(server.port, sent) for _ in range(10)]
        for client in clients:
            await client.rest()
        await all_gone(server, before)


async def test_a_tls_handshake_that_does_not_go_on_is_ended(connected, tmp_path):
    tls = Credentials(tmp_path)
    async with ServerProcess(manager(f"limits=Limits({QUICK})"), tls.option) as server:
        before = server.descriptors
        begun = b"\x16\x03\x01\x02\x00"
        clients = [await connected(server.port, sent) for sent in [b"", begun] * 10]
        for client in clients:
            await client.rest()
        await all_gone(server, before)


async def fill(client: Client, request: bytes) -> None:
    """Send requests without reading, until the server stops reading."""
    transport = client.writer.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    while transport.get_write_buffer_size() < 1 << 17 and not transport.is_closing():
        client.writer.write(request * 100)
        await asyncio.sleep(0)


UNREAD = {
    "pages": PAGE,
    "metrics": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "refusals": b"GET /graphql?query=x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "answers": b"GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("request_", UNREAD.values(), ids=UNREAD)
async def test_unread_responses_are_aborted(request_, connected):
    async with ServerProcess(manager(f"limits=Limits({QUICK})")) as server:
        before = server.descriptors
        clients = [await connected(server.port, is_small=True)]
        await asyncio.gather(*(fill(client, request_) for client in clients))
        await all_gone(server, before)
        await eventually(server.answers, "another client is served")


async def test_a_response_that_is_not_written_holds_its_place(connected):
    limits = "limits=Limits(max_connections=2, request_timeout=600, send_timeout=2)"
    async with ServerProcess(manager(limits)) as server:
        clients = [await connected(server.port, is_small=True) for _ in range(2)]
        await asyncio.gather(*(fill(client, PAGE) for client in clients))
        await eventually(server.answers, "the places of those who read nothing are free")


async def test_a_client_that_takes_drops_of_an_answer_is_ended(connected):
    async with ServerProcess(manager(f"limits=Limits({QUICK})")) as server:
        before = server.descriptors
        client = await connected(server.port, PAGE, is_small=True)
        client.writer.transport.pause_reading()
        plain = client.writer.transport.get_extra_info("socket")

        def take_a_drop() -> bool:
            with contextlib.suppress(OSError):
                os.read(plain.fileno(), 1)
            return server.descriptors <= before

        await eventually(take_a_drop, "its socket is closed")


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
async def test_an_unread_event_stream_is_aborted(policy, connected):
    limits = f"limits=Limits({QUICK}, slow_consumer={policy!r}, keepalive=None)"
    before_it = f"""
    {manager(limits)}
    async def flood():
        while True:
            await manager.publish("ticks", "x" * 50_000)
            await asyncio.sleep(0)
    """
    body = b'{"query":"subscription { ticks }"}'
    request = HEAD.replace(b"100000", str(len(body)).encode())
    server = ServerProcess(before_it)
    server.code = server.code.replace(
        "print(server.port", "flooding = asyncio.create_task(flood()); print(server.port"
    )
    async with server:
        before = server.descriptors
        client = await connected(
            server.port, request + b"Accept: text/event-stream\r\n\r\n" + body, is_small=True
        )
        assert await client.status() == 200
        client.writer.transport.pause_reading()
        await all_gone(server, before)


async def test_others_are_served_when_slow_clients_had_all_descriptors(connected):
    """Slow clients of every kind, more than the process may open files."""
    limits = f"limits=Limits({QUICK})"
    async with ServerProcess(manager(limits), descriptors=128) as server:
        kinds = [b"", HEAD + b"\r\n{", SLOW["the head of a first request"][0]]
        for sent in kinds * 60:
            await connected(server.port, sent)
        await eventually(server.answers, "a client is served in spite of them")


async def test_a_connection_that_goes_on_asking_is_kept_however_long_it_lasts():
    """A probe keeps its connection: `request_timeout` applies to each request."""
    async with ServerProcess(manager("limits=Limits(request_timeout=2.0)")) as server:
        client = await Client.connect(server.port)
        end = asyncio.get_running_loop().time() + 4
        while asyncio.get_running_loop().time() < end:
            client.writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await client.reader.readexactly(length)
            await asyncio.sleep(0.02)
        client.close()
