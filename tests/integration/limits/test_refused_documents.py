"""The answer to a refused document is small: it quotes at most a part of the document."""

from __future__ import annotations

import json

import pytest
from support.raw_http import Answer, ask, request

from fraiseql_subs import Limits, Server, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack

SDL = """
    type Query { ok: Boolean }
    input Box { box: Box }
    type Subscription { item(id: Int!, box: Box): Int }
"""
ONES = "1 " * 3000
DEEP = "[" * 125 + ONES + "]" * 125
LONG = "a" * 20_000

DOCUMENTS = {
    "a literal": f"subscription {{ item(id: {DEEP}) }}",
    "many literals": "subscription { item(id: 1) "
    + " ".join(f"a{n}: item(id: {'[' * 100}1{']' * 100})" for n in range(40))
    + " }",
    "an object": f"subscription {{ item(id: 1, box: {'{box: ' * 120}1{'}' * 120}) }}",
    "a literal of introspection": f"query {{ __type(name: {DEEP}) {{ name }} }}",
    "a default value": f"subscription ($id: Int! = {DEEP}) {{ item(id: $id) }}",
    "a field": f"subscription {{ {LONG} }}",
    "a variable": f"subscription {{ item(id: ${LONG}) }}",
    "a declared variable": f"subscription (${LONG}: Int!) {{ item(id: ${LONG}) }}",
    "a fragment": f"subscription {{ ...{LONG} }}",
    "a type": f"subscription ($id: {LONG}) {{ item(id: $id) }}",
    "a directive": f"subscription {{ item(id: 1) @{LONG} }}",
    "an argument": f"subscription {{ item(id: 1, {LONG}: 1) }}",
    "a syntax error": f'subscription {{ item(id: 1) "{LONG}" }}',
    "an operation": f"subscription {LONG} {{ item(id: 1) no }}",
}


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


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "multipart/mixed"])
@pytest.mark.parametrize("name", DOCUMENTS)
async def test_over_http(name, accept, serve):
    item = passthrough("item", int, channel="items", arguments={"id": int, "box": dict})
    server = await serve(SubscriptionManager([item], schema=SDL))
    answer = await refused(server, DOCUMENTS[name], accept)
    assert answer.status in (200, 400) and b'"errors"' in answer.body, answer
    assert len(answer.body) < 30_000


@pytest.mark.parametrize(
    ("accept", "end"),
    [
        ("application/json", b"}]}"),
        ("text/event-stream", b"event: complete\ndata:\n\n"),
        ("multipart/mixed", b"--graphql--\r\n"),
    ],
)
async def test_an_answer_may_be_larger_than_what_may_wait(accept, end, serve):
    limits = Limits(max_pending_bytes=1024)
    server = await serve(
        SubscriptionManager([passthrough("item", int, channel="items")], limits=limits)
    )
    fields = " ".join(f"unknown{number:04}" for number in range(20))
    answer = await refused(server, f"subscription {{ {fields} }}", accept)
    assert answer.status == 200 and len(answer.body) > 1024
    assert b"unknown0007" in answer.body and answer.body.endswith(end)


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_over_a_websocket(name, serve, connect):
    item = passthrough("item", int, channel="items", arguments={"id": int, "box": dict})
    server = await serve(SubscriptionManager([item], schema=SDL))
    client = await connect(server.url)
    await client.subscribe(DOCUMENTS[name])
    message = await client.receive()
    assert message["type"] in ("error", "next") and len(json.dumps(message)) < 30_000
