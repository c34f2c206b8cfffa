"""Behind proxies that are trusted, clients have their own addresses."""

from __future__ import annotations

import socket
import struct
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.certificates import Credentials
from support.proxies import nginx
from support.raw_http import post
from support.redis_server import free_port

from fraiseql_subs import (
    ConfigurationError,
    ConnectionParams,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)

CLIENT = "203.0.113.7"
OPERATION = {"query": "{ __typename }"}


class Hook:
    """Lets all clients in, and keeps what it is told of them."""

    def __init__(self) -> None:
        self.addresses: list[str | None] = []
        self.hosts: list[str | None] = []

    async def __call__(self, params: ConnectionParams) -> Identity:
        self.addresses.append(params.remote_address)
        self.hosts.append(params.headers.get("host"))
        return Identity("ada")


def manager_with(hook: Hook | None = None, **options: Any) -> SubscriptionManager:
    security = Security(authenticate=hook, **options)
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")], security=security)


@pytest.fixture
def hook():
    return Hook()


HEADERS = pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": f"198.51.100.1, {CLIENT}"},
        {"Forwarded": f'for=198.51.100.1, for="{CLIENT}";proto=https'},
        {"X-Forwarded-For": f"{CLIENT}, 127.0.0.1"},
    ],
)


@HEADERS
async def test_a_websocket(headers, hook, serve, connect):
    manager = manager_with(hook)
    server = await serve(manager, trusted_proxies=["127.0.0.0/8"])
    await connect(server.url, additional_headers=headers)
    assert hook.addresses == [f"{CLIENT}:0"]
    (connection,) = manager.connections()
    assert connection.remote_address == f"{CLIENT}:0"


@HEADERS
async def test_a_request(headers, hook, serve):
    server = await serve(manager_with(hook), trusted_proxies=["127.0.0.1"])
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        for more in ({}, {"Expect": "100-continue"}):
            sent = await client.post(server.http_url, json=OPERATION, headers=headers | more)
            assert sent.status_code == 200
    assert hook.addresses == [f"{CLIENT}:0"] * 2


@HEADERS
async def test_a_request_of_http_2(headers, hook, serve, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(
        manager_with(hook), tls=credentials.tls, trusted_proxies=["127.0.0.1", "::1"]
    )
    async with httpx.AsyncClient(
        http2=True, verify=credentials.trusting, timeout=PATIENCE
    ) as client:
        sent = await client.post(server.http_url, json=OPERATION, headers=headers)
        assert (sent.status_code, sent.http_version) == (200, "HTTP/2")
    assert hook.addresses == [f"{CLIENT}:0"]


async def test_a_unix_socket(hook, tmp_path):
    path = tmp_path / "s"
    async with manager_with(hook).serve(unix=path, trusted_proxies=["unix"]):
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
            await client.post(
                "http://localhost/graphql", json=OPERATION, headers={"X-Forwarded-For": CLIENT}
            )
    assert hook.addresses == [f"{CLIENT}:0"]


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8", "unix"]])
@HEADERS
async def test_what_is_not_trusted_is_not_believed(trusted, headers, hook, serve, connect):
    server = await serve(manager_with(hook), trusted_proxies=trusted)
    client = await connect(server.url, additional_headers=headers)
    async with httpx.AsyncClient(timeout=PATIENCE) as other:
        await other.post(server.http_url, json=OPERATION, headers=headers)
    del client
    assert len(hook.addresses) == 2
    assert all(address.startswith("127.0.0.1:") for address in hook.addresses)


async def test_each_client_behind_the_proxy_has_its_own_rate(serve):
    manager = manager_with(rates=Rates(subscribes="1/h", per="address"))
    server = await serve(manager, trusted_proxies=["127.0.0.1"])
    async with httpx.AsyncClient(timeout=PATIENCE) as client:

        async def status(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return (await client.post(server.http_url, json=OPERATION, headers=headers)).status_code

        assert [await status(a) for a in ("203.0.113.7", "203.0.113.8", "203.0.113.7")] == [
            200,
            200,
            429,
        ]


async def test_the_host_that_the_client_has_asked_for_is_looked_at(hook, serve, connect):
    security = {"hosts": ["api.example.com"]}
    server = await serve(manager_with(hook, **security), trusted_proxies=["127.0.0.1"])
    headers = {"X-Forwarded-For": CLIENT, "X-Forwarded-Host": "api.example.com"}
    await connect(server.url, additional_headers=headers)
    assert hook.hosts == ["api.example.com"]
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        headers["X-Forwarded-Host"] = "evil.example.com"
        sent = await client.post(server.http_url, json=OPERATION, headers=headers)
        assert sent.status_code == 403
        # A page of the same site, whose name the proxy alone knows.
        headers |= {
            "X-Forwarded-Host": "api.example.com",
            "Origin": "https://api.example.com",
        }
        sent = await client.post(server.http_url, json=OPERATION, headers=headers)
        assert sent.status_code == 200


async def test_nginx_passes_the_address_on(hook, serve, tmp_path):
    server = await serve(manager_with(hook), trusted_proxies=["127.0.0.1"])
    port = free_port()
    settings = f"""
        http {{
            access_log off;
            server {{
                listen 127.0.0.1:{port};
                location /graphql {{
                    proxy_pass http://127.0.0.1:{server.port};
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header Forwarded "";
                }}
            }}
        }}
    """
    async with nginx(tmp_path, port, settings):
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
            # The client sends headers of its own, which are not believed.
            headers = {"X-Forwarded-For": CLIENT, "Forwarded": f"for={CLIENT}"}
            url = f"http://127.0.0.1:{port}/graphql"
            sent = await client.post(url, json=OPERATION, headers=headers)
            assert sent.status_code == 200
    assert hook.addresses == ["127.0.0.2:0"]


@pytest.mark.parametrize(
    "trusted", ["10.0.0.1", ["proxy.example.com"], ["*"], ["10.0.0.0/33"], [1], 5, [""]]
)
def test_what_names_no_proxy_is_refused(trusted):
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        manager_with().serve(trusted_proxies=trusted)


async def test_a_host_that_a_proxy_tells_over_http_2(hook, serve, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(
        manager_with(hook, hosts=["api.example.com"]),
        tls=credentials.tls,
        trusted_proxies=["127.0.0.1"],
    )
    headers = {"X-Forwarded-For": CLIENT, "X-Forwarded-Host": "api.example.com"}
    async with httpx.AsyncClient(
        http2=True, verify=credentials.trusting, timeout=PATIENCE
    ) as client:
        sent = await client.post(server.http_url, json=OPERATION, headers=headers)
    assert sent.status_code == 200
    assert hook.hosts == ["api.example.com"]


async def test_a_client_that_resets_its_connection_is_not_one_of_a_unix_socket(hook, serve):
    """Its request has arrived, and the kernel knows its address no more."""
    server = await serve(manager_with(hook), trusted_proxies=["unix", "10.0.0.1"])
    request = post(f"X-Forwarded-For: {CLIENT}")
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request)
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        sent = await client.post(server.http_url, json=OPERATION)
        assert sent.status_code == 200
    # That of the last one is there; others may have been read before their end.
    assert hook.addresses
    for address in hook.addresses:
        assert address is not None and address.startswith("127.0.0.1:")
