"""Rates hold on every way in, for every kind of operation, whoever is counted together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import hpack
import httpx
import pytest
import strawberry
from support import eventually, raw_http, raw_http2
from support.certificates import Credentials
from support.event_streams import EVENTS, PARTS, opened
from support.progress import clients_left
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url
from ways_in import PAGE, WAYS, in_process, open_http
from websockets.exceptions import InvalidStatus

from fraiseql_subs import (
    ConnectionParams,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)
from fraiseql_subs.adapters.asgi import GraphQLApp

pytestmark = pytest.mark.attack


@strawberry.type
class Query:
    ok: bool = True


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def numbers(self) -> AsyncIterator[int]:
        yield 1

    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


OPERATIONS: dict[str, dict[str, Any]] = {
    "query": {"query": "{ ok }"},
    "introspection": {"query": "{ __typename }"},
    "mutation": {"query": "mutation { change }"},
    "subscription": {"query": "subscription { ticks }"},
    "source stream": {"query": "subscription { numbers }"},
    "no document": {"query": "{{{"},
    "refused by the executor": {"query": "{ unknown }"},
    "two operations": {"query": "query A { ok } query B { ok }"},
    "unknown hash": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
    "unknown id": {"documentId": "unknown"},
}
TICKS = OPERATIONS["subscription"]


async def authenticate(params: ConnectionParams) -> Identity | None:
    user = (params.payload or {}).get("user") or params.headers.get("authorization", "ada")
    return None if user == "mallory" else Identity(user)


def make_manager(*, known: bool = True, given: bool = True, **rates: Any) -> SubscriptionManager:
    security = Security(
        authenticate=authenticate if known else None, origins=[PAGE], rates=Rates(**rates)
    )
    ticks = passthrough("ticks", int, channel="ticks")
    schema = strawberry.Schema(Query, Mutation, Subscription) if given else None
    return SubscriptionManager([ticks], schema=schema, security=security)


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("way", WAYS)
async def test_every_operation_counts_on_every_way(way, kind, serve):
    manager = make_manager(subscribes="2/h")
    server = await serve(manager)
    async with WAYS[way](server.url) as run:
        answers = [await run(OPERATIONS[kind]) for _ in range(3)]
        assert [answer.is_limited for answer in answers] == [False, False, True]
        assert manager.metrics().denied_rate == 1
        # Also when it is another kind.
        assert (await run(OPERATIONS["query"])).is_limited


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("way", WAYS)
async def test_the_rate_is_one_for_all_ways_on_every_server(way, name):
    if name not in HTTP_SERVERS and not way.startswith("graphql"):
        pytest.skip("it has WebSockets only")
    manager = make_manager(subscribes="1/h")
    async with SERVERS[name](manager) as url:
        async with WAYS[way](url) as run:
            assert not (await run(TICKS)).is_limited
            assert (await run(TICKS)).is_limited
        async with WAYS["graphql-transport-ws"](url) as run:
            assert (await run(TICKS)).is_limited
        async with WAYS["graphql-transport-ws"](url, "bob") as run:
            assert not (await run(TICKS)).is_limited


@pytest.mark.parametrize("way", ["subscribe", "executor"])
@pytest.mark.parametrize("kind", ["query", "subscription", "no document"])
async def test_in_process_the_rate_is_that_of_the_identity(way, kind, serve):
    manager = make_manager(subscribes="2/h")
    server = await serve(manager)
    run = in_process(manager, Identity("ada"))[way]
    assert not (await run(OPERATIONS[kind])).is_limited
    async with WAYS["POST"](server.url) as post:
        assert not (await post(OPERATIONS["query"])).is_limited
    assert (await run(OPERATIONS[kind])).is_limited
    assert manager.metrics().denied_rate == 1
    # The application itself is not limited.
    for _ in range(3):
        assert not (await in_process(manager, None)[way](TICKS)).is_limited


async def test_in_process_results_past_the_rate_are_dropped():
    manager = make_manager(events="1/h")
    async with manager, manager.subscribe("subscription { ticks }", identity={"user_id": "a"}) as s:
        await manager.publish_many(("ticks", n) for n in range(3))
        assert (await anext(s)).data == {"ticks": 0}
        await eventually(lambda: manager.metrics().results_rate_limited == 2, "they are dropped")


@pytest.mark.parametrize("per", ["address", "connection"])
async def test_in_process_there_is_neither_address_nor_connection(per):
    manager = make_manager(subscribes="1/h", per=per)
    async with manager:
        for _ in range(3):
            run = in_process(manager, Identity("ada"))["subscribe"]
            assert not (await run(TICKS)).is_limited


def client_at(address: str, user: str = "ada") -> httpx.AsyncClient:
    return open_http(user, transport=httpx.AsyncHTTPTransport(local_address=address))


async def statuses(client: httpx.AsyncClient, url: str, count: int) -> list[int]:
    posted = [await client.post(http_url(url), json=OPERATIONS["query"]) for _ in range(count)]
    return [response.status_code for response in posted]


@pytest.mark.parametrize("thing", ["subscribes", "messages"])
@pytest.mark.parametrize(
    ("per", "other_user", "other_address", "other_connection"),
    [
        ("identity", 200, 429, 429),
        ("address", 429, 200, 429),
        ("connection", 200, 200, 200),
    ],
)
async def test_who_is_counted_together_over_http(
    thing, per, other_user, other_address, other_connection, serve
):
    server = await serve(make_manager(**{thing: "2/h"}, refusals="99/s", per=per))
    async with client_at("127.0.0.1") as client:
        assert await statuses(client, server.url, 3) == [200, 200, 429]
    for address, user, expected in [
        ("127.0.0.1", "bob", other_user),
        ("127.0.0.2", "ada", other_address),
        ("127.0.0.1", "ada", other_connection),
    ]:
        async with client_at(address, user) as client:
            assert await statuses(client, server.url, 1) == [expected]


@pytest.mark.parametrize("per", ["identity", "address", "connection"])
async def test_streams_of_one_connection_of_http_2_are_counted_together(per, tmp_path, serve):
    issued = Credentials(tmp_path)
    manager = make_manager(messages="2/h", refusals="99/s", per=per)
    server = await serve(manager, tls=issued.tls)
    async with open_http(verify=False, http1=False, http2=True) as client:
        assert await statuses(client, server.url, 3) == [200, 200, 429]


@pytest.mark.parametrize("name", SERVERS)
async def test_a_handshake_past_the_rate_is_refused_by_every_server(name):
    manager = make_manager(refusals="1/h")
    async with SERVERS[name](manager) as url:
        client = await ProtocolClient.connect(url, origin=PAGE)
        await client.send({"type": "connection_init", "payload": {"user": "mallory"}})
        await client.expect_close(4403)
        await client.close()
        try:
            late = await ProtocolClient.connect(url, origin=PAGE)
        except InvalidStatus as refused:
            assert refused.response.status_code == 429
            assert int(refused.response.headers["retry-after"]) > 1000
        else:
            # It cannot answer a handshake.
            await late.expect_close(1013, "Try again later")
            await late.close()
        assert manager.metrics().denied_rate == 1


async def test_documents_that_are_not_trusted_count(serve):
    ticks = passthrough("ticks", int, channel="ticks")
    manager = SubscriptionManager(
        [ticks],
        trusted_documents={"known": "subscription { ticks }"},
        security=Security(origins=[PAGE], rates=Rates(subscribes="2/h")),
    )
    server = await serve(manager)
    async with WAYS["POST"](server.url) as run:
        answers = [await run({"documentId": "unknown"}), await run(TICKS), await run(TICKS)]
    assert [answer.is_limited for answer in answers] == [False, False, True]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "PATCH"])
@pytest.mark.parametrize("per", ["identity", "address", "connection"])
@pytest.mark.parametrize("known", [True, False])
async def test_each_request_is_a_message(known, per, method, serve):
    manager = make_manager(known=known, messages="2/h", per=per)
    server = await serve(manager)
    async with open_http() as client:
        query = {"query": "{ ok }"}
        body = {"json": query} if method == "POST" else {}
        url, params = http_url(server.url), query if method in ("GET", "HEAD") else {}
        responses = [await client.request(method, url, params=params, **body) for _ in range(3)]
        assert [response.status_code == 429 for response in responses] == [False, False, True]
        assert int(responses[2].headers["retry-after"]) > 1000
        assert responses[2].headers["access-control-allow-origin"] == PAGE
        assert manager.metrics().denied_rate == 1


async def test_requests_about_a_reserved_stream_are_messages_of_its_client(serve):
    server = await serve(make_manager(messages="4/h", refusals="99/s"))
    url = http_url(server.url)
    async with open_http() as client:
        token = (await client.put(url)).text
        headers = {"x-graphql-event-stream-token": token}
        async with client.stream("GET", url, headers={**headers, "accept": EVENTS}) as stream:
            assert stream.status_code == 200
            asked = {**TICKS, "extensions": {"operationId": "1"}}
            assert (await client.post(url, json=asked, headers=headers)).status_code == 202
            stop = {"params": {"operationId": "1"}, "headers": headers}
            assert (await client.delete(url, **stop)).status_code == 200
            # Whoever has the token, by whatever name.
            async with open_http("bob") as other:
                assert (await other.delete(url, **stop)).status_code == 429
                assert (await other.post(url, json=asked, headers=headers)).status_code == 429
    async with open_http() as client:
        assert (await client.put(url)).status_code == 429


async def test_a_preflight_is_no_message(serve):
    server = await serve(make_manager(messages="1/h", per="address"))
    async with open_http() as client:
        headers = {"access-control-request-method": "POST"}
        for _ in range(3):
            response = await client.options(http_url(server.url), headers=headers)
            assert response.status_code == 204


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_who_connects_again_and_again_sends_messages(subprotocol, serve, connect):
    server = await serve(make_manager(messages="2/h"))
    offer = {"subprotocols": [subprotocol], "origin": PAGE}
    for _ in range(2):
        await connect(server.url, {"user": "ada"}, **offer)
    late = await connect(server.url, init=False, **offer)
    await late.send({"type": "connection_init", "payload": {"user": "ada"}})
    await late.expect_close(4429, "Too many messages")
    await connect(server.url, {"user": "bob"}, **offer)


async def test_pings_of_the_transport_are_messages(serve, connect):
    server = await serve(make_manager(messages="3/h"))
    client = await connect(server.url, {"user": "ada"}, origin=PAGE, ping_interval=None)
    for _ in range(3):
        await client.socket.ping()
    await client.expect_close(4429, "Too many messages")


# What a client may do before it is known, and what it is answered while it may.
UNKNOWN: dict[str, tuple[int, dict[str, Any]]] = {
    "refused by the application": (403, {"headers": {"authorization": "mallory"}}),
    "reserving": (403, {"method": "PUT", "headers": {"authorization": "mallory"}}),
    "a page that is not listed": (403, {"headers": {"origin": "https://other.example"}}),
    "no JSON": (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
    "no type": (415, {"content": b"{}"}),
    "no method": (405, {"method": "PATCH"}),
    "a token by guess": (404, {"headers": {"x-graphql-event-stream-token": "guess"}}),
    "a long body": (413, {"content": b" " * 2_000_000}),
    "a long head": (431, {"headers": {"x-long": "x" * 70_000}}),
}


@pytest.mark.parametrize("per", ["identity", "address", "connection"])
@pytest.mark.parametrize("what", UNKNOWN)
async def test_who_is_refused_before_being_known_counts_for_its_address(what, per, serve):
    manager = make_manager(refusals="2/h", per=per)
    server = await serve(manager)
    status, options = UNKNOWN[what]
    options = {"method": "POST", **options}
    if not options.keys() & {"content"}:
        options["json"] = {**TICKS, "extensions": {"operationId": "1"}}
    url, found = http_url(server.url), []
    for _ in range(3):
        # Each by a connection of its own.
        async with client_at("127.0.0.1") as client:
            found.append((await client.request(url=url, **options)).status_code)
    assert found == [status, status, 429]
    # So do handshakes of WebSockets, and requests that are fine.
    async with client_at("127.0.0.1") as client:
        handshake = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert (await client.get(url, headers=handshake)).status_code == 429
    async with client_at("127.0.0.1") as client:
        assert await statuses(client, server.url, 1) == [429]
    async with client_at("127.0.0.2") as client:
        assert await statuses(client, server.url, 1) == [200]


OTHER = "POST http://other.example/graphql HTTP/1.1"

# Heads that can be read in two ways, or in none.
UNREADABLE = {
    "two names": raw_http.post(line=OTHER),
    "two names, and the body waits": raw_http.post("Expect: 100-continue", line=OTHER),
    "two names in a handshake": raw_http.handshake().replace(
        b"GET /graphql", b"GET http://other.example/graphql"
    ),
    "credentials": raw_http.post(line="POST http://a:b@localhost/graphql HTTP/1.1"),
    "a line without CR": b"GET /graphql HTTP/1.1\nHost: localhost\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "a body without CR": raw_http.request(
        "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    + b"1\na",
    "a chunk without a size": raw_http.request(
        "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    + b"zz\r\n",
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_a_request_that_cannot_be_read_counts_for_its_address_once(what, serve):
    manager = make_manager(refusals="2/h")
    server = await serve(manager)
    url = http_url(server.url)
    assert (await raw_http.ask(url, UNREADABLE[what])).status == 400
    async with client_at("127.0.0.1") as client:
        assert await statuses(client, server.url, 1) == [200]
    assert (await raw_http.ask(url, UNREADABLE[what])).status == 400

    async def is_limited() -> bool:
        async with client_at("127.0.0.1") as client:
            return await statuses(client, server.url, 1) == [429]

    # The end of a connection may come after its answer.
    await eventually(is_limited, "the address has to wait")


@pytest.mark.parametrize("what", ["two names", "no HTTP/2", "flood", "heads"])
async def test_what_is_refused_over_http_2_counts_for_its_address(what, tmp_path, serve):
    issued = Credentials(tmp_path)
    manager = make_manager(known=False, refusals="1/h")
    server = await serve(manager, tls=issued.tls)
    trusting = ssl.create_default_context()
    issued.authority.configure_trust(trusting)
    client = await raw_http2.Http2Client.connect(server.port, trusting)
    try:
        if what == "two names":
            fields = [*raw_http2.POST, ("host", "other.example"), ("origin", PAGE)]
            refused = await client.answer(client.ask(fields, raw_http2.QUERY))
            assert refused.status == 400
            assert refused.headers["access-control-allow-origin"] == PAGE
        elif what == "no HTTP/2":
            client.send(raw_http2.frame(raw_http2.HEADERS, 4, 2, b"\x82"))
            assert await client.closed() == 1
        elif what == "flood":
            client.send(raw_http2.frame(raw_http2.PING, 0, 0, bytes(8)) * 3_000)
            assert await client.closed() == raw_http2.ENHANCE_YOUR_CALM
        else:
            # 52 kB each: what the table of HPACK has as 62 stands in each 15 times.
            fields = [*raw_http2.POST, ("x", "a" * 3500)]
            for _ in range(25):
                head = hpack.Encoder().encode(fields, huffman=False) + b"\xbe" * 14
                stream, flags = client.next_stream(), raw_http2.END_HEADERS
                client.send(raw_http2.frame(raw_http2.HEADERS, flags, stream, head))
            responses = client.responses.values()
            await client.until(
                lambda: any(one.reset == raw_http2.ENHANCE_YOUR_CALM for one in responses)
            )
            assert not client.is_closed.is_set()
    finally:
        await client.close()
    async with open_http(verify=False, http1=False, http2=True) as other:
        assert await statuses(other, server.url, 1) == [429]


@pytest.mark.parametrize("end", ["refused", "leaves", "too early", "no subprotocol", "no JSON"])
async def test_a_websocket_that_comes_to_nothing_counts_for_its_address(end, serve, connect):
    manager = make_manager(messages="2/h")
    server = await serve(manager)
    for _ in range(2):
        offer = {"subprotocols": []} if end == "no subprotocol" else {}
        client = await connect(server.url, init=False, origin=PAGE, **offer)
        if end == "refused":
            await client.send({"type": "connection_init", "payload": {"user": "mallory"}})
            await client.expect_close(4403)
        elif end == "too early":
            await client.send({"id": "1", "type": "subscribe", "payload": TICKS})
            await client.expect_close(4401)
        elif end == "no JSON":
            await client.send("{")
            await client.expect_close(4400)
        elif end == "no subprotocol":
            await client.expect_close(4406)
        await client.close()
    await clients_left(manager)
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.url, {"user": "bob"}, origin=PAGE)
    assert refused.value.response.status_code == 429
    assert manager.metrics().denied_rate == 1


async def test_clients_that_are_known_do_not_count_for_their_address(serve, connect):
    server = await serve(make_manager(messages="2/h"))
    for index in range(6):
        client = await connect(server.url, {"user": f"user {index}"}, origin=PAGE)
        await client.close()


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_results_past_their_rate_are_dropped_over_http(accept, serve):
    manager = make_manager(events="1/h")
    server = await serve(manager)
    url, query = http_url(server.url), TICKS["query"]
    async with opened(url, query, accept, origin=PAGE) as (_, body):
        await body.read_until(":\n\n" if accept == EVENTS else "--graphql")
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish_many(("ticks", n) for n in range(3))
        assert '"ticks":0' in await body.read_until("}}")
        await eventually(lambda: manager.metrics().results_rate_limited == 2, "they are dropped")


@pytest.mark.parametrize("way", ["GET", "POST", "graphql-transport-ws"])
async def test_the_answer_to_a_query_is_no_event(way, serve):
    manager = make_manager(events="1/h")
    server = await serve(manager)
    async with WAYS[way](server.url) as run:
        for _ in range(3):
            assert (await run(OPERATIONS["query"])).code is None
    assert manager.metrics().results_rate_limited == 0
    async with open_http() as client:
        mutation = await client.post(http_url(server.url), json=OPERATIONS["mutation"])
    assert mutation.json() == {"data": {"change": True}}


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
    """Ask as a client at an address; return the status."""
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


async def test_who_leaves_before_the_body_is_there_counts_for_the_address():
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
async def test_what_a_header_says_of_the_address_is_not_believed(name, serve):
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
