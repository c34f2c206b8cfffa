"""nginx and HAProxy in front of the embedded server: the PROXY protocol, headers, prefixes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.proxies import haproxy, nginx
from support.proxy_header import version_1, version_2
from support.raw_http import ask, post
from support.redis_server import free_port

from fraiseql_subs import (
    ConnectionParams,
    Identity,
    Security,
    SubscriptionManager,
    passthrough,
)

NEAR = "127.0.0.2"
"""The address of the clients; that of the proxies is 127.0.0.1."""

OPERATION = {"query": "{ __typename }"}
BEHIND = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": True}


class Hook:
    """Lets all clients in, and keeps the hosts of their addresses."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def __call__(self, params: ConnectionParams) -> Identity:
        assert params.remote_address is not None
        self.addresses.append(params.remote_address.rpartition(":")[0])
        return Identity("ada")


def manager_with(hook: Hook) -> SubscriptionManager:
    ticks = passthrough("ticks", int, channel="ticks")
    return SubscriptionManager([ticks], security=Security(authenticate=hook))


@pytest.fixture
def hook():
    return Hook()


async def request(url: str, **options: Any) -> httpx.Response:
    """Send a query from `NEAR`."""
    headers = options.pop("headers", {})
    verify = options.pop("verify", True)
    transport = httpx.AsyncHTTPTransport(local_address=NEAR, verify=verify, **options)
    async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        return await client.post(url, json=OPERATION, headers=headers)


async def receives(manager: SubscriptionManager, client: Any) -> None:
    await client.subscribe("subscription { ticks }")
    await manager.publish("ticks", 7)
    assert (await client.receive())["payload"] == {"data": {"ticks": 7}}


def through_haproxy(port: int, server: int, send: str, mode: str = "tcp", more: str = "") -> str:
    return f"""
listen clients
    mode {mode}
    bind 127.0.0.1:{port}
    source 127.0.0.1
    {more}
    server one 127.0.0.1:{server} {send}
"""


def through_nginx(port: int, location: str) -> str:
    return f"""
http {{
    access_log off;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port};
        location {location}
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header Forwarded "";
            proxy_buffering off;
        }}
    }}
}}
"""


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
async def test_haproxy_passes_connections_on(send, hook, serve, connect, tmp_path):
    manager, port = manager_with(hook), free_port()
    server = await serve(manager, **BEHIND)
    async with haproxy(tmp_path, port, through_haproxy(port, server.port, send)):
        assert (await request(f"http://127.0.0.1:{port}/graphql")).status_code == 200
        url = f"ws://127.0.0.1:{port}/graphql"
        await receives(manager, await connect(url, local_addr=(NEAR, 0)))
    assert hook.addresses == [NEAR, NEAR]
    assert manager.metrics().denied_proxy == 0


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_haproxy_passes_tls_through(send, hook, serve, connect, tmp_path):
    credentials = Credentials(tmp_path)
    manager, port = manager_with(hook), free_port()
    server = await serve(manager, tls=credentials.tls, **BEHIND)
    async with haproxy(tmp_path, port, through_haproxy(port, server.port, send)):
        url = f"https://127.0.0.1:{port}/graphql"
        for http2 in (False, True):
            answer = await request(url, http2=http2, verify=credentials.trusting)
            assert answer.status_code == 200
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        url = f"wss://127.0.0.1:{port}/graphql"
        client = await connect(url, ssl=credentials.trusting, local_addr=(NEAR, 0))
        await receives(manager, client)
    assert hook.addresses == [NEAR] * 3


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_haproxy_of_http_sends_both_kinds_of_headers(alpn, hook, serve, tmp_path):
    credentials = Credentials(tmp_path)
    port = free_port()
    server = await serve(manager_with(hook), tls=credentials.tls, **BEHIND)
    send = f"ssl verify none alpn {alpn} send-proxy-v2"
    settings = through_haproxy(port, server.port, send, "http", "option forwardfor")
    async with haproxy(tmp_path, port, settings):
        answer = await request(f"http://127.0.0.1:{port}/graphql")
        assert answer.status_code == 200
    assert hook.addresses == [NEAR]


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_checks_of_haproxy_find_the_server(send, hook, serve, tmp_path):
    manager, port = manager_with(hook), free_port()
    server = await serve(manager, **BEHIND)
    send = f"{send} check check-send-proxy inter 50ms fastinter 50ms rise 1"
    more = "option httpchk GET /health/ready\n    http-check expect status 200"
    settings = through_haproxy(port, server.port, send, "http", more)
    stats = free_port()
    settings += f"\nfrontend stats\n mode http\n bind 127.0.0.1:{stats}\n stats enable\n"
    settings += " stats uri /\n"
    async with haproxy(tmp_path, port, settings), httpx.AsyncClient(timeout=PATIENCE) as client:

        async def is_checked() -> bool:
            # Columns: 17 status, 36 result of the last check.
            lines = (await client.get(f"http://127.0.0.1:{stats}/;csv")).text.splitlines()
            (line,) = [line for line in lines if line.startswith("clients,one,")]
            return line.split(",")[17] == "UP" and line.split(",")[36] == "L7OK"

        await eventually(is_checked, "the check has passed")
        assert (await request(f"http://127.0.0.1:{port}/graphql")).status_code == 200
    assert manager.metrics().denied_proxy == 0
    assert hook.addresses == [NEAR]


async def test_nginx_passes_connections_on(hook, serve, connect, tmp_path):
    manager, port = manager_with(hook), free_port()
    server = await serve(manager, **BEHIND)
    settings = f"""
        stream {{
            server {{
                listen 127.0.0.1:{port};
                proxy_pass 127.0.0.1:{server.port};
                proxy_protocol on;
            }}
        }}
    """
    async with nginx(tmp_path, port, settings):
        assert (await request(f"http://127.0.0.1:{port}/graphql")).status_code == 200
        url = f"ws://127.0.0.1:{port}/graphql"
        await receives(manager, await connect(url, local_addr=(NEAR, 0)))
    assert hook.addresses == [NEAR, NEAR]


@pytest.mark.parametrize("spoofed", [version_1("203.0.113.7"), version_2("203.0.113.7")])
async def test_a_header_of_a_client_is_not_believed(spoofed, hook, serve, tmp_path):
    port = free_port()
    server = await serve(manager_with(hook), **BEHIND)
    async with haproxy(tmp_path, port, through_haproxy(port, server.port, "send-proxy-v2")):
        answer = await ask(f"http://127.0.0.1:{port}", spoofed + post(), to_end=True)
        assert answer.status in (0, 400)
        # Headers of HTTP neither: the client is no trusted proxy.
        spoofing = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
        answer = await request(f"http://127.0.0.1:{port}/graphql", headers=spoofing)
        assert answer.status_code == 200
    assert hook.addresses == [NEAR]


@pytest.mark.parametrize(
    ("location", "root_path"),
    [
        ("/shop/ {{ proxy_pass http://127.0.0.1:{server}/;", ""),
        ("/shop/ {{ proxy_pass http://127.0.0.1:{server}/;", "/shop"),
        ("/shop/ {{ proxy_pass http://127.0.0.1:{server};", "/shop"),
    ],
    ids=["removed", "removed-and-known", "passed-on"],
)
async def test_nginx_shows_the_server_below_a_prefix(
    location, root_path, hook, serve, connect, tmp_path
):
    manager, port = manager_with(hook), free_port()
    server = await serve(manager, trusted_proxies=["127.0.0.1"], root_path=root_path)
    settings = through_nginx(port, location.format(server=server.port))
    async with nginx(tmp_path, port, settings):
        for path in ("/shop/graphql", "/shop/graphql/", "/shop/graphql?a=b", "/shop/graphql/?a=b"):
            answer = await request(f"http://127.0.0.1:{port}{path}")
            assert answer.status_code == 200, path
            client = await connect(f"ws://127.0.0.1:{port}{path}", local_addr=(NEAR, 0))
            await receives(manager, client)
            await client.close()
    assert hook.addresses == [NEAR] * 8
