"""The page for browsers: what it opens with, and what it shows of the connection and of events."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from support import eventually
from support.node import NodeProcess
from support.proxies import nginx
from support.redis_server import free_port

from fraiseql_subs import (
    ConnectionParams,
    Identity,
    Security,
    SubscriptionManager,
    subscription,
)


class Status(Enum):
    """Where an order is."""

    NEW = "NEW"
    PAID = "PAID"


@dataclass
class Customer:
    """Who ordered."""

    name: str


@dataclass
class Order:
    """An order."""

    id: int
    customer: Customer


@subscription(channel="orders")
async def order_updated(event, *, status: Status, tags: list[str], limit: int = 3) -> Order:
    return event.data


@subscription(channel="numbers")
async def numbers(event) -> int:
    return event.data


FIRST = """\
# Run it with the button.
subscription OrderUpdated($status: Status!, $tags: [String!]!) {
  orderUpdated(status: $status, tags: $tags) {
    id
    customer {
      name
    }
  }
}
"""
ORDER = {"id": 7, "customer": {"name": "Ada"}}


def opened(url: str, **options: Any) -> Any:
    """Open the page; its process tells what it shows."""
    return NodeProcess.run("graphiql.mjs", url, json.dumps(options))


async def until(page: NodeProcess, **expected: Any) -> dict[str, Any]:
    """Read what the page shows, until it is what is expected."""
    while True:
        shown = await page.read()
        assert "error" not in shown, shown
        if expected.items() <= shown.items():
            return shown


async def subscribed(page: NodeProcess, manager: SubscriptionManager, **expected: Any) -> Any:
    """Wait until the page is subscribed; return what it shows."""
    shown = await until(page, phase="Connected", **expected)
    await eventually(lambda: manager.metrics().subscriptions == 1, "the page is subscribed")
    return shown


async def test_it_opens_with_the_first_subscription_and_its_variables(serve):
    manager = SubscriptionManager([order_updated, numbers])
    server = await serve(manager)
    async with opened(server.http_url) as page:
        shown = await subscribed(page, manager)
        assert shown["query"] == FIRST
        assert json.loads(shown["variables"]) == {"status": "NEW", "tags": ["text"]}
        await manager.publish("orders", ORDER)
        shown = await until(page, total=1, rows=1)
        assert json.loads(shown["newest"]) == ORDER
        shown = shown if shown["result"] else await until(page, total=1)
        assert json.loads(shown["result"]) == {"data": {"orderUpdated": ORDER}}
        assert shown["banner"] is None


async def test_a_document_of_the_url_stays(serve):
    server = await serve(SubscriptionManager([order_updated, numbers]))
    query = "subscription { numbers }"
    async with opened(f"{server.http_url}?document={query}") as page:
        assert (await until(page, phase="Connected"))["query"] == query


async def test_it_opens_with_a_welcome_where_introspection_is_refused(serve):
    server = await serve(SubscriptionManager([numbers], introspection=False))
    async with opened(server.http_url, run=False) as page:
        shown = await page.read()
        while not shown["result"]:
            shown = await page.read()
        assert shown["query"].startswith("# Welcome.")
        assert "introspection" in shown["result"].lower()
        assert shown["phase"] == "Not connected"


async def test_it_keeps_the_newest_events_of_a_fast_stream_and_counts_all(serve):
    manager = SubscriptionManager([numbers])
    server = await serve(manager)
    async with opened(server.http_url) as page:
        await subscribed(page, manager)
        # In parts that fit what may wait for one client.
        for start in range(0, 5_000, 1_000):
            await manager.publish_many(("numbers", start + number) for number in range(1_000))
            shown = await until(page, total=start + 1_000)
            assert shown["newest"] == str(start + 999)
        assert shown["rows"] == 100


async def test_it_is_usable_on_a_phone(serve):
    manager = SubscriptionManager([order_updated])
    server = await serve(manager)
    async with opened(server.http_url, phone=True, tap=0) as page:
        await subscribed(page, manager)
        await manager.publish("orders", ORDER)
        shown = await until(page, total=1, rows=1)
        while not shown["chosen"]:
            shown = await page.read()
        assert json.loads(shown["chosen"].partition("\n")[2]) == {"data": {"orderUpdated": ORDER}}
        assert shown["width"] == 390


async def test_it_says_how_to_allow_its_origin(serve):
    security = Security(origins=["https://app.example.com"])
    server = await serve(SubscriptionManager([numbers], security=security))
    async with opened(server.http_url, run=False) as page:
        shown = await until(page, banner="403: this origin may not connect")
        assert f'"http://127.0.0.1:{server.port}" to Security(origins=[...])' in shown["advice"]
    # The handshake is refused as well, of which a browser is told no reason.
    async with opened(f"{server.http_url}?document=subscription {{ numbers }}") as page:
        shown = await until(page, phase="Closed")
        assert shown["banner"] == "403: this origin may not connect"


async def authenticate(params: ConnectionParams) -> Identity | None:
    """Accept one user, by WebSocket or HTTP."""
    token = (params.payload or params.headers).get("authorization")
    return Identity(user_id="ada") if token == "Bearer ada" else None


async def test_headers_authenticate_it(serve):
    manager = SubscriptionManager([numbers], security=Security(authenticate=authenticate))
    server = await serve(manager)
    async with opened(server.http_url, headers='{"authorization": "Bearer ada"}') as page:
        shown = await until(page, banner="403: Forbidden")
        assert "Headers" in shown["advice"]
        shown = await subscribed(page, manager, banner=None)
        assert "numbers" in shown["query"]
        await manager.publish("numbers", 7)
        shown = await until(page, total=1, newest="7")
        # The history has the document, and no token.
        assert "subscription Numbers" in shown["storage"]
        assert "Bearer" not in shown["storage"]
        await manager.disconnect(identity=Identity(user_id="ada"))
        shown = await until(page, phase="Closed", banner="4403: Forbidden")
        assert "Headers" in shown["advice"]
        assert json.loads(shown["result"]) == {"data": {"numbers": 7}}


async def test_wrong_headers_are_told(serve):
    manager = SubscriptionManager([numbers], security=Security(authenticate=authenticate))
    server = await serve(manager)
    url = f"{server.http_url}?document=subscription {{ numbers }}"
    async with opened(url, headers='{"authorization": "Bearer eve"}') as page:
        await until(page, phase="Closed", banner="4403: Forbidden")


async def test_a_refused_document_is_answered_and_the_page_is_ready_again(serve):
    server = await serve(SubscriptionManager([numbers]))
    async with opened(f"{server.http_url}?document=subscription {{ letters }}") as page:
        shown = await until(page, phase="Not connected")
        while '"errors"' not in shown["result"]:
            shown = await until(page, phase="Not connected", banner=None)
        [error] = json.loads(shown["result"])["errors"]
        assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize("lost", ["No connection", "502"], ids=["direct", "proxy"])
async def test_it_reconnects_when_the_server_is_back(lost, tmp_path):
    port = free_port()
    async with AsyncExitStack() as stack:
        outside = port
        if lost == "502":
            outside = free_port()
            await stack.enter_async_context(
                nginx(tmp_path, outside, proxied(outside, port, UPGRADE))
            )
        manager = SubscriptionManager([numbers])
        async with manager.serve(port=port, drain=0.0):
            url = f"http://127.0.0.1:{outside}/graphql"
            page = await stack.enter_async_context(opened(url))
            await subscribed(page, manager)
        await until(page, phase="Reconnecting…")
        await until(page, banner=lost)
        manager = SubscriptionManager([numbers])
        async with manager.serve(port=port, drain=0.0):
            await subscribed(page, manager, banner="Events are missing")
            await manager.publish("numbers", 7)
            await until(page, total=1, newest="7")


async def test_it_misses_nothing_while_the_server_goes_on(serve):
    manager = SubscriptionManager([numbers])
    server = await serve(manager)
    async with opened(server.http_url) as page:
        await subscribed(page, manager)
        await manager.publish("numbers", 0)
        await until(page, total=1, newest="0")
        [connection] = [c for c in manager.connections() if c.subscriptions]
        await manager.disconnect(connection_id=connection.connection_id, code=4408)
        for number in (1, 2):
            await manager.publish("numbers", number)
        shown = await until(page, phase="Reconnecting…")
        assert shown["total"] == 1
        await until(page, phase="Connected", banner="Reconnected", total=3, newest="2")


def proxied(port: int, server: int, *lines: str) -> str:
    """Return settings of nginx that pass all requests on."""
    return f"""
        http {{
            access_log off;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://127.0.0.1:{server};
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    {" ".join(lines)}
                }}
            }}
        }}
    """


UPGRADE = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"


@pytest.mark.parametrize("prefix", ["/shop", ""])
async def test_a_proxy_that_drops_the_upgrade_is_named(prefix, serve, tmp_path):
    server = await serve(SubscriptionManager([numbers]), root_path=prefix)
    port = free_port()
    async with nginx(tmp_path, port, proxied(port, server.port)):
        async with opened(f"http://127.0.0.1:{port}{prefix}/graphql") as page:
            shown = await until(page, banner="The WebSocket was refused")
            assert "Upgrade" in shown["advice"]


@pytest.mark.parametrize(
    ("sdl", "query", "variables"),
    [
        pytest.param("type Query { a: Int }", None, None, id="no-subscription"),
        pytest.param(
            "type Query { a: Int } type Subscription { old: Int @deprecated tick: Int! }",
            "subscription Tick {\n  tick\n}",
            {},
            id="scalar-past-a-deprecated-field",
        ),
        pytest.param(
            """
            type Query { a: Int }
            type Subscription {
              found(in: Filter!, at: DateTime!, of: Pick!, max: Int! = 3): Found!
            }
            scalar DateTime
            input Filter { name: String!, kinds: [Kind!]!, all: [Filter!]!, more: Filter }
            input Pick @oneOf { id: ID, name: String }
            enum Kind { SMALL LARGE }
            union Found = Book | Film
            type Book { id: ID!, title: String!, pages(from: Int!): Int, parts: [Book!]! }
            type Film { id: ID!, minutes: Int! }
            """,
            """\
# Pick is empty in the variables. It may need a field: id, name
subscription Found($in: Filter!, $at: DateTime!, $of: Pick!) {
  found(in: $in, at: $at, of: $of) {
    __typename
    ... on Book {
      id
      title
      parts {
        id
        title
        parts {
          id
          title
        }
      }
    }
    ... on Film {
      id
      minutes
    }
  }
}""",
            {
                "in": {"name": "text", "kinds": ["SMALL"], "all": []},
                "at": "2026-01-01T12:00:00Z",
                "of": {},
            },
            id="inputs-union-recursion",
        ),
        pytest.param(
            """
            type Query { a: Int }
            type Subscription { of(which: [Outer!]!, same: Any!): Int }
            input Outer { inner: Any! }
            input Any @oneOf { all: Any, b: Int, c: Int, d: Int, e: Int, f: Int }
            """,
            """\
# Any is empty in the variables. It may need a field: all, b, c, d, e, ...
subscription Of($which: [Outer!]!, $same: Any!) {
  of(which: $which, same: $same)
}""",
            {"which": [{"inner": {}}], "same": {}},
            id="an-input-without-required-fields-that-contains-itself",
        ),
        pytest.param(
            """
            type Query { a: Int }
            type Subscription { found: Found! }
            union Found = Book | Film
            type Book { length: Int! }
            type Film { length: String! }
            """,
            "subscription Found {\n  found {\n    __typename\n  }\n}",
            {},
            id="members-that-contradict",
        ),
        pytest.param(
            """
            type Query { a: Int }
            type Subscription { node: Node! }
            interface Node { id: ID! }
            type Book implements Node { id: ID!, title: String! }
            """,
            """\
subscription Node {
  node {
    __typename
    id
    ... on Book {
      title
    }
  }
}""",
            {},
            id="interface",
        ),
    ],
)
async def test_the_document_of_a_schema(sdl, query, variables):
    async with NodeProcess.run("first_subscription.mjs", sdl) as script:
        first = await script.read()
    expected = None if query is None else {"query": query, "variables": variables, "errors": []}
    assert first == expected


async def test_the_document_of_a_large_schema_is_short():
    fields = " ".join(f"f{number}: Int" for number in range(500))
    sdl = f"type Query {{ a: Int }} type Subscription {{ wide: Wide }} type Wide {{ {fields} }}"
    async with NodeProcess.run("first_subscription.mjs", sdl) as script:
        first = await script.read()
    assert first["errors"] == []
    assert first["query"].count("\n    f") == 30


async def test_the_list_of_events_is_bounded_and_its_rate_is_an_average():
    streams = ["1000 2 10", "10 10 10", "0 10 0", "10 1 1000000", "1 1 9000000"]
    async with NodeProcess.run("event_log.mjs", *" ".join(streams).split()) as script:
        assert await script.read() == {"total": 2000, "rate": 1000, "newest": 2000, "kept": 100}
        assert await script.read() == {"total": 2100, "rate": 10, "newest": 2100, "kept": 100}
        assert await script.read() == {"total": 2100, "rate": 0, "newest": 2100, "kept": 100}
        # Large events are fewer, and the newest is there however large it is.
        assert (await script.read())["kept"] == 4
        assert (await script.read())["kept"] == 1
