"""The configurations of the pages about proxies, with the server behind them.

That clients receive events through them is tested with the pages. Here: whose address the server
believes in, and which paths are forwarded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.paths import ROOT
from support.proxies import caddy, haproxy, nginx
from support.redis_server import free_port

from fraiseql_subs import ConnectionParams, Identity, Security, SubscriptionManager, passthrough

CLIENT = "127.0.0.2"
MADE_UP = {
    "x-forwarded-for": "192.0.2.1",
    "x-forwarded-host": "made.up",
    "forwarded": "for=192.0.2.2;host=made.up",
}
PAGES: dict[str, tuple[str, Callable[..., Any]]] = {
    "nginx": ("nginx.conf", nginx),
    "caddy": ("Caddyfile", caddy),
    "haproxy": ("http.cfg", haproxy),
}


def settings_of(page: str, proxy: int, server: int) -> str:
    """The configuration that stands in a page, with free ports."""
    name, _ = PAGES[page]
    text = (ROOT / f"docs/how-to/proxies/{page}.md").read_text()
    mark = rf"^<!-- file: {name} -->\n(?:<!-- [^\n]* -->\n)*"
    (code,) = re.findall(rf"{mark}```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return code.replace("8080", str(proxy)).replace("8000", str(server))


@pytest.fixture(params=PAGES)
async def behind(request, serve, tmp_path):
    """The port of a proxy, and the clients that the server behind it has seen."""
    seen: list[ConnectionParams] = []

    async def authenticate(params: ConnectionParams) -> Identity:
        seen.append(params)
        return Identity("ada")

    security = Security(authenticate=authenticate)
    manager = SubscriptionManager([passthrough("ticks", int, channel="ticks")], security=security)
    server = await serve(manager, trusted_proxies=["127.0.0.1"])
    port = free_port()
    settings = settings_of(request.param, port, server.port)
    async with PAGES[request.param][1](tmp_path, port, settings, whole=True):
        yield port, seen


async def ask(port: int, path: str, **options: Any) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(local_address=CLIENT)
    async with httpx.AsyncClient(transport=transport, timeout=PATIENCE) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}", **options)


async def test_the_client_is_the_one_that_connected_whatever_it_says(behind):
    port, seen = behind
    response = await ask(port, "/graphql?query={__typename}", headers=MADE_UP)
    assert response.json() == {"data": {"__typename": "Query"}}
    assert seen[0].remote_address.rpartition(":")[0] == CLIENT
    assert seen[0].headers["host"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("path", ["/metrics", "/health", "/%6detrics", "/publish"])
async def test_only_the_path_of_clients_is_forwarded(path, behind):
    port, _ = behind
    response = await ask(port, path)
    assert response.status_code == 404
    assert "fraiseql_subs" not in response.text
