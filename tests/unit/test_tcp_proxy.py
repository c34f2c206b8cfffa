"""The proxy of the fault tests passes bytes, and breaks connections in each way it offers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support import PATIENCE, eventually
from support.listening import listening
from support.tcp_proxy import Admission, TcpProxy


@asynccontextmanager
async def echo(mark: bytes = b"") -> AsyncIterator[int]:
    """Serve an echo of each line, with a prefix; yields the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(mark + line)
            await writer.drain()

    async with listening(answer) as port:
        yield port


class Client:
    """A client of the echo."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line + b"\n")
        return (await asyncio.wait_for(self.reader.readline(), PATIENCE)).rstrip()

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[TcpProxy], Any]]:
    clients: list[Client] = []

    async def open_client(proxy: TcpProxy) -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", proxy.port)))
        return clients[-1]

    yield open_client
    for client in clients:
        client.writer.transport.abort()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    async with echo() as port, TcpProxy(port, words=[b"mine"]) as proxy:
        yield proxy


async def test_it_passes_what_both_sides_send(proxy, connect):
    client = await connect(proxy)
    assert await client.ask(b"one") == b"one"
    assert await client.ask(b"x" * 1_000) == b"x" * 1_000
    assert proxy.attempts == len(proxy.connections) == 1


async def test_the_end_of_the_client_reaches_the_server_and_its_end_the_client(proxy, connect):
    client = await connect(proxy)
    client.writer.write(b"one\n")
    client.writer.write_eof()
    assert await client.rest() == b"one\n"
    await eventually(lambda: not proxy.connections, "the connection is gone")


async def test_a_cut_with_rst_is_an_error_of_the_client(proxy, connect):
    client = await connect(proxy)
    await client.ask(b"one")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert await (await connect(proxy)).ask(b"two") == b"two"


async def test_a_cut_with_fin_is_an_end(proxy, connect):
    client = await connect(proxy)
    await client.ask(b"one")
    proxy.cut(reset=False)
    assert await client.rest() == b""


@pytest.mark.parametrize("count", range(1, 5))
async def test_a_connection_is_cut_after_a_number_of_bytes(proxy, connect, count):
    client = await connect(proxy)
    await client.ask(b"one")
    proxy.connections[0].cut_after(count)
    client.writer.write(b"four\n")
    assert await client.rest() == b"four\n"[:count]


async def test_what_is_stopped_comes_later(proxy, connect):
    client = await connect(proxy)
    await client.ask(b"one")
    proxy.stop()
    answer = asyncio.ensure_future(client.ask(b"two"))
    # Other connections go on.
    assert await (await connect(proxy)).ask(b"three") == b"three"
    assert not answer.done()
    proxy.go_on()
    assert await answer == b"two"


async def test_a_stopped_proxy_makes_the_sender_wait(proxy, connect):
    client = await connect(proxy)
    await client.ask(b"one")
    proxy.stop()
    with pytest.raises(asyncio.TimeoutError):
        for _ in range(1_000):
            client.writer.write(bytes(1 << 16))
            await asyncio.wait_for(client.writer.drain(), 0.2)


@pytest.mark.parametrize("name", ["to_server", "to_client"])
async def test_what_is_dropped_is_lost_and_the_connection_stays(proxy, connect, name):
    client = await connect(proxy)
    await client.ask(b"one")
    (connection,) = proxy.connections
    direction = getattr(connection, name)
    direction.is_dropped = True
    client.writer.write(b"two\n")
    await eventually(lambda: direction.dropped == 4, "the line is dropped")
    direction.go_on()
    assert await client.ask(b"three") == b"three"


async def test_what_is_delayed_comes_in_order(proxy, connect):
    client = await connect(proxy)
    await client.ask(b"one")
    (connection,) = proxy.connections
    connection.to_client.delay = 0.05
    for line in (b"two\n", b"three\n"):
        client.writer.write(line)
    assert await client.reader.readexactly(10) == b"two\nthree\n"


async def test_it_refuses_resets_or_hangs_and_admits_again_on_the_same_port(proxy, connect):
    old = await connect(proxy)
    await old.ask(b"one")
    await proxy.admit(Admission.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    await proxy.admit(Admission.RESET)
    with pytest.raises(ConnectionError):
        client = await connect(proxy)
        await client.rest()
    await proxy.admit(Admission.HANG)
    hanging = await connect(proxy)
    hanging.writer.write(b"two\n")
    answer = asyncio.ensure_future(hanging.rest())
    await proxy.admit(Admission.PASS)
    assert await (await connect(proxy)).ask(b"three") == b"three"
    assert await old.ask(b"four") == b"four"
    assert not answer.done()
    answer.cancel()


async def test_new_connections_go_to_a_new_target_and_old_ones_stay(proxy, connect):
    old = await connect(proxy)
    await old.ask(b"one")
    async with echo(mark=b"> ") as port:
        proxy.target = port
        assert await (await connect(proxy)).ask(b"two") == b"> two"
        assert await old.ask(b"three") == b"three"


async def test_a_server_that_is_not_there_resets_its_clients(proxy, connect):
    await proxy.admit(Admission.PASS)
    async with echo() as port:
        proxy.target = port
    client = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_connections_are_told_apart_by_a_word_that_comes_in_parts(proxy, connect):
    for line in (b"yours", b"mi"):
        await (await connect(proxy)).ask(line)
    assert proxy.with_word(b"mine") == []
    client = await connect(proxy)
    client.writer.write(b"a mi")
    await eventually(lambda: len(proxy.connections) == 3, "it is connected")
    await client.ask(b"ne b")
    assert proxy.with_word(b"mine") == [proxy.connections[2]]
