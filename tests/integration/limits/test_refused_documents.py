"""The answer to a refused document is small: it quotes at most a part of the document."""

from __future__ import annotations

import json

import pytest
from support.raw_http import Answer, ask, request

from fraiseql_subs import Server, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack

SDL = """
    type Query { ok: Boolean }
    input Box { box: Box }
    type Subscription { item(id: Int!, box: Box): Int }
"""
ONES = "1 " * 3000
DEEP = "[" * 125 + ONES + "]" * 125
NAME = "a" * 1000

DOCUMENTS = {
    "a literal": f"subscription {{ item(id: {DEEP}) }}",
    "a literal of introspection": f"query {{ __type(name: {DEEP}) {{ name }} }}",
    "a default value": f"subscription ($id: Int! = {DEEP}) {{ item(id: $id) }}",
    "a field": f"subscription {{ {NAME} }}",
    "a variable": f"subscription {{ item(id: ${NAME}) }}",
    "a fragment": f"subscription {{ ...{NAME} }}",
    "a syntax error": f'subscription {{ item(id: 1) "{NAME}" }}',
}
"""Refused with a message that quotes what is named; each is longer than a message may be."""


async def refused(server: Server, document: str, accept: str) -> Answer:
    """Send a document, and read the whole answer."""
    body = json.dumps({"query": document}).encode()
    head = request(
        f"Content-Length: {len(body)}",
        f"Accept: {accept}",
        "Content-Type: application/json",
        "Connection: close",
    )
    return await ask(server.http_url, head + body, to_end=True)


@pytest.fixture
async def server(serve) -> Server:
    item = passthrough("item", int, channel="items", arguments={"id": int, "box": dict})
    return await serve(SubscriptionManager([item], schema=SDL))


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "multipart/mixed"])
@pytest.mark.parametrize("name", DOCUMENTS)
async def test_over_http(name, accept, server):
    answer = await refused(server, DOCUMENTS[name], accept)
    assert answer.status in (200, 400) and b'"errors"' in answer.body, answer
    assert "\u2026".encode() in answer.body and len(answer.body) < 5_000, answer.body[-500:]


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_over_a_websocket(name, server, connect):
    client = await connect(server.url)
    await client.subscribe(DOCUMENTS[name])
    message = await client.receive()
    assert message["type"] in ("error", "next")
    assert "\u2026" in str(message) and len(str(message)) < 5_000, message
