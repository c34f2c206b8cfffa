"""Errors below the protocol have texts of this package, not of its libraries."""

from __future__ import annotations

import logging
import struct

import httpx
import pytest
from support import PATIENCE, eventually
from support.raw_websocket import CLOSE, CONTINUATION, PING, TEXT, RawWebSocket, frame

from fraiseql_subs import JWT, Security, SubscriptionManager, passthrough

FRAMES = {
    "Frames of clients must be masked": frame(TEXT, b"a", mask=None),
    "The reserved bits must be 0: no extension was agreed": frame(TEXT, b"a", reserved=4),
    "The opcode is reserved": frame(0x3, b"a"),
    "A continuation continues no message": frame(CONTINUATION, b"a"),
    "A message began before the end of another": frame(TEXT, b"a", fin=False) * 2,
    "Control frames must not be fragmented": frame(PING, b"a", fin=False),
    "Control frames may have at most 125 bytes": frame(PING, b"a" * 126),
    "A close needs a code of two bytes, or none": frame(CLOSE, b"a"),
    "The close code 1005 must not be sent": frame(CLOSE, struct.pack("!H", 1005)),
    "The close code 5000 must not be sent": frame(CLOSE, struct.pack("!H", 5000)),
}


@pytest.fixture
async def server(serve):
    return await serve(SubscriptionManager([passthrough("ticks", int, channel="ticks")]))


@pytest.mark.parametrize("reason", FRAMES)
async def test_a_frame_that_breaks_the_rules_is_told_which(reason, server):
    async with RawWebSocket.connect(server.url) as client:
        client.writer.write(FRAMES[reason])
        closed = (await client.ended())[-1]
    assert closed.opcode == CLOSE
    assert closed.payload == struct.pack("!H", 1002) + reason.encode()


async def test_the_reason_of_a_close_that_is_no_text_is_1007(server):
    async with RawWebSocket.connect(server.url) as client:
        client.writer.write(frame(CLOSE, struct.pack("!H", 1000) + b"\xff"))
        closed = (await client.ended())[-1]
    assert closed.payload == struct.pack("!H", 1007) + b"The reason of a close must be UTF-8"


HANDSHAKE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-protocol": "graphql-transport-ws",
}
KEY_PROBLEM = "the header `sec-websocket-key` must be 16 bytes in base64"


@pytest.mark.parametrize(
    ("method", "changed", "status", "message"),
    [
        ("POST", {}, 405, "a WebSocket begins with a GET"),
        ("GET", {"sec-websocket-version": "8"}, 426, "WebSockets are spoken in version 13 only"),
        ("GET", {"sec-websocket-version": None}, 426, "WebSockets are spoken in version 13 only"),
        ("GET", {"sec-websocket-key": None}, 400, KEY_PROBLEM),
        ("GET", {"sec-websocket-key": "short"}, 400, KEY_PROBLEM),
    ],
)
async def test_a_handshake_that_cannot_be_answered_is_told_why(
    method, changed, status, message, server
):
    headers = {name: text for name, text in (HANDSHAKE | changed).items() if text is not None}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        url = server.http_url
        response = await client.request(method, url, headers=headers)
    assert response.status_code == status
    assert response.json() == {"errors": [{"message": message}]}
    if status == 426:
        assert response.headers["sec-websocket-version"] == "13"


async def test_a_key_set_that_cannot_be_fetched_is_told_why(serve, connect, caplog):
    jwt = JWT(jwks_url="http://127.0.0.1:1/keys", algorithms=["RS256"])
    manager = SubscriptionManager(
        [passthrough("ticks", int, channel="ticks")], security=Security(jwt=jwt)
    )
    server = await serve(manager)
    client = await connect(server.url, init=False)
    # A header with a key; the rest only has the right form.
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"
    await client.send({"type": "connection_init", "payload": {"token": token}})
    await client.expect_close(4403)

    def written() -> list[logging.LogRecord]:
        return [r for r in caplog.records if r.name == "fraiseql_subs.jwt"]

    await eventually(lambda: bool(written()), "it is written")
    assert written()[0].fields["problem"] == "nothing listens there"
