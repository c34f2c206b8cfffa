"""Grouping of addresses to clients, and headers that are not trusted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rated_manager import OPERATIONS, make_manager
from support.urls import http_url
from ways_in import PAGE, open_http

from fraiseql_subs.adapters.asgi import GraphQLApp

pytestmark = pytest.mark.attack


def post_scope(client: tuple[str, int] | None, *headers: tuple[str, str]) -> dict[str, Any]:
    """The scope of a POST that an ASGI server received from this address."""
    fields = [("content-type", "application/json"), ("origin", PAGE), *headers]
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "client": client,
        "headers": [(name.encode(), value.encode()) for name, value in fields],
    }


async def ask(app: GraphQLApp, client: tuple[str, int] | None, *headers: tuple[str, str]) -> int:
    """Send a request as a client at an address; return the status."""
    body, sent = b'{"query":"{ __typename }"}', []
    messages = iter([{"type": "http.request", "body": body}])
    is_answered = asyncio.Event()

    async def receive() -> Any:
        if message := next(messages, None):
            return message
        await is_answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            is_answered.set()

    await app(post_scope(client, *headers), receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        (("2001:db8:1:2::1", 1), ("2001:db8:1:2:ffff:1:2:3", 2), True),
        (("2001:db8:1:2::1", 1), ("2001:db8:1:3::1", 1), False),
        (("::ffff:10.0.0.1", 1), ("10.0.0.1", 2), True),
        (("::ffff:10.0.0.1", 1), ("::ffff:10.0.0.2", 1), False),
        (("10.0.0.1", 1), ("10.0.0.2", 1), False),
        (("fe80::1%eth0", 1), ("fe80::2%eth1", 1), True),
        (None, None, True),
    ],
)
async def test_addresses_that_one_client_can_have_are_one(first, second, is_one):
    manager = make_manager(known=False, messages="1/h", per="address")
    async with manager:
        app = GraphQLApp(manager)
        assert await ask(app, first) == 200
        assert await ask(app, second) == (429 if is_one else 200)


async def test_a_disconnect_before_the_body_is_complete_counts_for_the_address():
    manager = make_manager(known=False, refusals="2/h", per="address")
    async with manager:
        app = GraphQLApp(manager)

        async def leave() -> Any:
            return {"type": "http.disconnect"}

        for _ in range(2):
            await app(post_scope(("10.0.0.1", 1)), leave, leave)
        assert await ask(app, ("10.0.0.1", 2)) == 429
        assert await ask(app, ("10.0.0.2", 1)) == 200


FORWARDED = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "x-client-ip",
]


@pytest.mark.parametrize("name", FORWARDED)
async def test_addresses_in_headers_are_not_trusted(name, serve):
    server = await serve(make_manager(known=False, messages="1/h", per="address"))
    async with open_http() as client:
        found = []
        for value in ("10.1.1.1", "10.1.1.2"):
            headers = {name: f"for={value}" if name == "forwarded" else value}
            url = http_url(server.url)
            response = await client.post(url, json=OPERATIONS["query"], headers=headers)
            found.append(response.status_code)
        assert found == [200, 429]
    manager = make_manager(known=False, messages="1/h", per="address")
    async with manager:
        app = GraphQLApp(manager)
        assert await ask(app, ("10.0.0.1", 1), (name, "10.1.1.1")) == 200
        assert await ask(app, ("10.0.0.1", 2), (name, "10.1.1.2")) == 429
