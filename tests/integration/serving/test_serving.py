"""The embedded server without GraphQL: health, metrics, drain, addresses."""

from __future__ import annotations

import asyncio
import sys

import httpx
import pytest
from support import eventually
from support.authentication import by_payload
from support.resolvers import HeldCall

from fraiseql_subs import (
    ConfigurationError,
    Security,
    SubscriptionManager,
    passthrough,
)

feed = passthrough("feed", int, channel="feed")


async def test_health_tells_that_it_lives_and_is_ready(serve):
    server = await serve(SubscriptionManager([feed]))
    base = server.http_url.removesuffix("/graphql")
    async with httpx.AsyncClient(base_url=base) as client:
        for path, status in [
            ("/health", "ready"),
            ("/health/ready", "ready"),
            ("/health/live", "live"),
        ]:
            response = await client.get(path)
            assert response.status_code == 200
            assert response.json() == {"status": status}
            assert response.headers["cache-control"] == "no-store"


async def test_a_draining_server_is_live_not_ready_and_refuses_clients(connect, within):
    call = HeldCall()
    manager = SubscriptionManager([call.declare()])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        await client.subscribe("subscription { slow }")
        await manager.publish("feed", 1)
        await within(call.entered.wait())
        closing = asyncio.ensure_future(manager.close(drain=30.0))
        base = server.http_url.removesuffix("/graphql")
        async with httpx.AsyncClient(base_url=base) as probe:

            async def is_draining() -> bool:
                return (await probe.get("/health")).status_code != 200

            await eventually(is_draining, "the server drains")
            assert (await probe.get("/health")).json() == {"status": "draining"}
            assert (await probe.get("/health/live")).status_code == 200
            refused = await probe.post("/graphql", json={"query": "{ __typename }"})
            assert refused.status_code == 503
            # Pending results are delivered.
            call.let_go.set()
            assert await client.receive_data() == {"slow": 1}
            await client.expect_close(1001)
        await closing


async def test_a_server_may_be_served_again_after_its_drain():
    async with SubscriptionManager([feed]) as manager:
        for _ in range(2):
            async with manager.serve(port=0, drain=1.0) as server, httpx.AsyncClient() as client:
                response = await client.post(server.http_url, json={"query": "{ __typename }"})
                assert response.status_code == 200


async def test_metrics_are_in_the_text_format_of_prometheus(serve, connect):
    manager = SubscriptionManager([feed])
    server = await serve(manager)
    client = await connect(server.url)
    await client.subscribe("subscription { feed }")
    base = server.http_url.removesuffix("/graphql")
    async with httpx.AsyncClient(base_url=base) as probe:
        response = await probe.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    assert "# TYPE fraiseql_subs_connections gauge" in lines
    assert 'fraiseql_subs_connections{protocol="graphql-transport-ws"} 1' in lines
    assert "# TYPE fraiseql_subs_results_sent_total counter" in lines
    assert manager.prometheus().splitlines() == lines


async def test_open_connections_are_listed(serve, connect):
    manager = SubscriptionManager([feed], security=Security(authenticate=by_payload))
    server = await serve(manager)
    assert manager.connections() == []
    ada = await connect(server.url, {"user": "ada"})
    eve = await connect(server.url, {"user": "eve"})
    await eve.subscribe("subscription { feed }")
    first, second = manager.connections()
    assert (first.identity.user_id, first.subscriptions) == ("ada", 0)
    assert (second.identity.user_id, second.subscriptions) == ("eve", 1)
    assert first.protocol == "graphql-transport-ws"
    assert first.remote_address.startswith("127.0.0.1:")
    assert first.connected_at <= second.connected_at
    assert (await manager.disconnect(connection_id=first.connection_id)).closed == 1
    await ada.expect_close(4403)
    await eventually(lambda: len(manager.connections()) == 1, "its connection is gone")


async def test_a_server_may_listen_at_a_unix_socket(tmp_path):
    path = tmp_path / "graphql.sock"
    for _ in range(2):
        manager = SubscriptionManager([feed])
        async with manager.serve(unix=path) as server:
            assert server.unix == str(path)
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport) as client:
                response = await client.post(
                    "http://localhost/graphql", json={"query": "{ __typename }"}
                )
                assert response.json() == {"data": {"__typename": "Query"}}
        assert not path.exists()


async def test_a_unix_socket_that_is_left_over_gives_way_and_one_in_use_does_not(tmp_path):
    import socket

    path = tmp_path / "graphql.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    async with SubscriptionManager([feed]).serve(unix=path):
        with pytest.raises(ConfigurationError, match=r"graphql\.sock"):
            async with SubscriptionManager([feed]).serve(unix=path):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT spreads clients on Linux only")
async def test_several_servers_may_share_a_port(stack):
    first, second = SubscriptionManager([feed]), SubscriptionManager([feed])
    async with first.serve(port=0, reuse_port=True) as server:
        async with second.serve(port=server.port, reuse_port=True):
            # Each client reaches one of them. After some clients, both have been reached.
            while not (first.connections() and second.connections()):
                _, writer = await asyncio.open_connection(server.host, server.port)
                stack.callback(writer.close)
                body = b"{}"
                writer.write(
                    b"PUT /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n" + body
                )
                await writer.drain()
        with pytest.raises(ConfigurationError, match="cannot listen"):
            async with SubscriptionManager([feed]).serve(port=server.port):
                pass


async def test_a_unix_socket_has_urls_of_its_own(tmp_path, capsys):
    path = tmp_path / "graphql.sock"
    server = SubscriptionManager([feed]).serve(unix=path, path="/api")
    for _ in range(2):
        assert server.url == f"ws+unix:{path}:/api"
        assert server.http_url == f"http+unix://{str(path).replace('/', '%2F')}/api"
        assert (server.host, server.port) == ("", 0)
        async with server:
            pass

    async def main() -> None: ...

    manager = SubscriptionManager([feed])
    await asyncio.to_thread(manager.run, unix=path, main=main)
    assert f"serving GraphQL subscriptions on ws+unix:{path}:/graphql" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "192.0.2.1"}, r"192\.0\.2\.1:0: .*no such address.*`host=`"),
        ({"host": "no.such.host.invalid"}, r"no\.such\.host\.invalid:0: .*set `host=`"),
        ({"unix": "/no/such/directory/a.sock"}, r"a\.sock: .*the directory is not there"),
        ({"unix": "/tmp/" + "a" * 200}, "at most 107 bytes"),
    ],
)
async def test_an_address_that_cannot_be_bound_is_told_with_what_to_do(options, problem):
    options = options if "unix" in options else {"port": 0, **options}
    with pytest.raises(ConfigurationError, match=f"cannot listen on .*{problem}"):
        async with SubscriptionManager([feed]).serve(**options):
            pass


async def test_a_port_and_a_socket_in_use_are_told_with_what_to_do(serve, tmp_path):
    server = await serve(SubscriptionManager([feed]))
    taken = rf"127\.0\.0\.1:{server.port}: .*another program listens there.*`port=`"
    with pytest.raises(ConfigurationError, match=taken):
        async with SubscriptionManager([feed]).serve(port=server.port):
            pass
    path = tmp_path / "a.sock"
    async with SubscriptionManager([feed]).serve(unix=path):
        with pytest.raises(ConfigurationError, match=r"a\.sock: .*another program.*`unix=`"):
            async with SubscriptionManager([feed]).serve(unix=path):
                pass
