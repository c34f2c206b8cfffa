"""Refused clients count for their address: wrong credentials, invalid requests, and more."""

from __future__ import annotations

import ssl
from typing import Any

import hpack
import pytest
from rated_manager import TICKS, client_at, make_manager, statuses
from support import eventually, raw_http, raw_http2
from support.certificates import Credentials
from support.progress import clients_left
from support.urls import http_url
from ways_in import PAGE, open_http
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.attack


# Requests of a client without an identity, and the answer below the limit.
UNKNOWN: dict[str, tuple[int, dict[str, Any]]] = {
    "refused by the application": (403, {"headers": {"authorization": "mallory"}}),
    "reserving": (403, {"method": "PUT", "headers": {"authorization": "mallory"}}),
    "no JSON": (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
    "no type": (415, {"content": b"{}"}),
    "no method": (405, {"method": "PATCH"}),
    "a token by guess": (404, {"headers": {"x-graphql-event-stream-token": "guess"}}),
    "a long body": (413, {"content": b" " * 2_000_000}),
    "a long head": (431, {"headers": {"x-long": "x" * 70_000}}),
}


@pytest.mark.parametrize("per", ["identity", "address", "connection"])
@pytest.mark.parametrize("what", UNKNOWN)
async def test_a_client_refused_before_authentication_counts_for_its_address(what, per, serve):
    manager = make_manager(refusals="2/h", per=per)
    server = await serve(manager)
    status, options = UNKNOWN[what]
    options = {"method": "POST", **options}
    if not options.keys() & {"content"}:
        options["json"] = {**TICKS, "extensions": {"operationId": "1"}}
    url, found = http_url(server.url), []
    for _ in range(3):
        # Each on its own connection.
        async with client_at("127.0.0.1") as client:
            found.append((await client.request(url=url, **options)).status_code)
    assert found == [status, status, 429]
    # WebSocket handshakes and valid requests also count.
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


# The request of a browser for a page of another site.
FOREIGN = [
    {"origin": "https://other.example"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_of_another_site_does_not_lock_out_its_visitor(headers, serve):
    manager = make_manager(refusals="2/h")
    server = await serve(manager)
    url = http_url(server.url)
    async with client_at("127.0.0.1") as client:
        own = client.headers.pop("origin")
        for _ in range(5):
            refused = await client.post(url, json=TICKS, headers=headers)
            assert refused.status_code == 403
        client.headers["origin"] = own
        assert await statuses(client, server.url, 1) == [200]


OTHER = "POST http://other.example/graphql HTTP/1.1"


# Heads that are ambiguous or invalid.
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

    # A connection may end after its answer.
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
            # 52 kB each: entry 62 of the HPACK table is repeated 15 times.
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

    async def is_limited() -> bool:
        async with open_http(verify=False, http1=False, http2=True) as other:
            return await statuses(other, server.url, 1) == [429]

    # The server may count the connection after its client has seen the end.
    await eventually(is_limited, "the address has to wait")


@pytest.mark.parametrize("end", ["refused", "leaves", "too early", "no subprotocol", "no JSON"])
async def test_a_websocket_that_is_never_accepted_counts_for_its_address(end, serve, connect):
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
