"""A server at a socket that listens already."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import httpx
import pytest

from fraiseql_subs import ConfigurationError, SubscriptionManager, passthrough

REQUEST = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


def a_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("orders", str, channel="orders")], workers=1)


async def test_it_serves_there_and_the_socket_stays_open():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):
            async with a_manager().serve(listener=listener) as server, httpx.AsyncClient() as http:
                assert (server.host, server.port) == listener.getsockname()
                response = await http.get(f"http://{server.host}:{server.port}/health/live")
                assert response.status_code == 200


async def test_the_file_of_a_unix_socket_stays(tmp_path: Path):
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        transport = httpx.AsyncHTTPTransport(uds=path)
        async with (
            a_manager().serve(listener=listener) as server,
            httpx.AsyncClient(transport=transport) as http,
        ):
            assert server.unix == path
            assert (await http.get("http://localhost/health/live")).status_code == 200
        assert "app.sock" in os.listdir(tmp_path)


async def test_what_comes_after_stop_accepting_is_left_to_the_next_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with a_manager().serve(listener=listener) as server:
            await server.stop_accepting()
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(REQUEST)
            await writer.drain()
        async with a_manager().serve(listener=listener):
            assert b"200 OK" in await reader.read()
        writer.close()


@pytest.mark.parametrize("other", [{"host": "::1"}, {"port": 1}, {"unix": "a"}])
def test_an_address_beside_it_is_refused(other):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ConfigurationError, match=f"listener= and {next(iter(other))}="),
    ):
        a_manager().serve(listener=listener, **other)


def test_a_socket_that_does_not_listen_is_refused():
    with socket.socket() as plain, pytest.raises(ConfigurationError, match=r"call listen\(\)"):
        a_manager().serve(listener=plain)


async def test_the_number_of_workers_is_set_before_the_start():
    manager = a_manager()
    manager.workers = 2
    async with manager:
        assert manager.workers == 2
        with pytest.raises(ConfigurationError, match="set it before"):
            manager.workers = 3


async def test_a_socket_that_was_closed_before_the_server_is_entered_is_named():
    listener = socket.create_server(("127.0.0.1", 0))
    server = a_manager().serve(listener=listener)
    listener.close()
    with pytest.raises(ConfigurationError, match="does not listen"):
        async with server:
            pass


async def test_a_given_socket_says_that_it_no_longer_blocks():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with a_manager().serve(listener=listener):
            assert listener.getblocking() is False
        assert listener.fileno() >= 0
