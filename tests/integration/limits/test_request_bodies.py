"""Request bodies: a declared length past the limit is a 413, an ambiguous request a 400."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest
from support import PATIENCE
from support.raw_http import ANSWER, BODY, Answer, ask, handshake, post, request
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import address_of, http_url

from fraiseql_subs import Limits, Security, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack

ORIGIN = "https://app.example.com"
LIMIT = 10_000
JSON = ("Content-Type: application/json", f"Origin: {ORIGIN}")
CHUNKED = request(*JSON, "Transfer-Encoding: chunked")
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


EXPECTING = [
    (name, expect)
    for name in HTTP_SERVERS
    for expect in ((), ("Expect: 100-continue",))
    # That server sends `100 Continue` for every body itself.
    if not (expect and name == "asgi-hypercorn")
]


def make_manager(**limits: object) -> SubscriptionManager:
    # Refusals come at once, and not after a timeout.
    limits = {"max_message_bytes": LIMIT, "request_timeout": 600.0, **limits}
    return SubscriptionManager(
        [passthrough("feed", int, channel="feed")],
        security=Security(origins=[ORIGIN], hosts=["localhost"]),
        limits=Limits(**limits),
    )


@pytest.fixture
async def url(serve) -> str:
    return (await serve(make_manager())).url


def may_be_read(answer: Answer) -> bool:
    """Whether the page may read a response."""
    return answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(("name", "expect"), EXPECTING)
async def test_a_length_past_the_limit_is_refused_by_its_head(name, expect):
    lines = (*JSON, *expect, f"Content-Length: {LIMIT + 1}")
    async with SERVERS[name](make_manager()) as url:
        # The client sends no part of the body, and the server does not ask for it.
        answer = await ask(url, request(*lines))
        assert (answer.status, may_be_read(answer)) == (413, True)
        assert b"at most 10000 bytes" in answer.body


@pytest.mark.parametrize(("name", "expect"), EXPECTING)
async def test_the_body_of_a_request_refused_by_its_head_is_not_requested(name, expect):
    body = (*expect, "Content-Type: application/json", "Content-Length: 100")
    async with SERVERS[name](make_manager()) as url:
        assert (await ask(url, request(*body, "Origin: null"))).status == 403
        assert (await ask(url, request(*body, host="evil.test"))).status == 403


async def test_the_body_of_a_request_past_max_connections_is_not_requested(serve):
    server = await serve(make_manager(max_connections=1))
    lines = (*JSON, "Expect: 100-continue", "Content-Length: 100")
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request(*lines))
    # It has the only place.
    assert b" 100 " in await asyncio.wait_for(reader.readline(), PATIENCE)
    assert (await ask(server.url, request(*lines))).status == 503
    writer.close()


async def test_the_body_of_a_request_with_a_large_head_is_not_requested(url):
    large = f"X-Large: {'x' * 70_000}"
    for expect in ((), ("Expect: 100-continue",)):
        lines = (*JSON, *expect, large, "Content-Length: 100")
        answer = await ask(url, request(*lines), to_end=True)
        assert answer.status == 431 and may_be_read(answer)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_the_body_of_an_accepted_request_is_requested(name):
    body = (*JSON, "Expect: 100-continue", f"Content-Length: {len(BODY)}")
    async with SERVERS[name](make_manager()) as url:
        async with httpx.AsyncClient() as client:
            url = http_url(url)
            headers = dict(line.split(": ", 1) for line in body) | {"host": "localhost"}
            response = await client.post(url, content=BODY, headers=headers)
            assert response.content == ANSWER


async def test_a_chunked_body_counts_as_it_is_on_the_wire(url):
    assert (await ask(url, CHUNKED + CHUNKS)).body == ANSWER
    extended = CHUNKS.replace(b"\r\n", b" ;name=value\r\n", 1).replace(
        b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"
    )
    assert (await ask(url, CHUNKED + extended)).body == ANSWER
    for begin, part in (
        (b"1;", b"a" * 500),
        (b"1", b" " * 500),
        (b"", b"1;%b\r\na\r\n" % (b"a" * 500)),
        (b"", b"1\r\na\r\n" * 100),
        (b"0\r\nX: ", b"a" * 500),
        (b"0\r\n", b"X: %b\r\n" % (b"a" * 500)),
        (b"fffffffffffffff\r\n", b"a" * 500),
    ):
        endless = itertools.repeat(part)
        answer = await ask(url, CHUNKED + begin, endless, to_end=True)
        assert (answer.status, may_be_read(answer)) == (413, True), (begin, part[:9])
        # The whole body together with the head.
        answer = await ask(url, CHUNKED + begin + part * 100, to_end=True)
        assert (answer.status, answer.is_closed) == (413, True), (begin, part[:9])
        assert answer.body.count(b"errors") == 1
    assert (await ask(url, post(f"Origin: {ORIGIN}"))).body == ANSWER


async def test_bodies_of_one_connection_count_each_by_itself(url):
    reader, writer = await asyncio.open_connection(*address_of(url))
    filler = b"1;%b\r\n" % (b"a" * (LIMIT - 500))
    chunks = filler + BODY[:1] + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY) - 1, BODY[1:])
    writer.write((CHUNKED + chunks) * 3)
    for _ in range(3):
        await asyncio.wait_for(reader.readuntil(ANSWER), PATIENCE)
    writer.close()


TWO_READINGS = {
    "a length and chunks": (f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"),
    "chunks and a length": ("Transfer-Encoding: chunked", f"Content-Length: {len(BODY)}"),
    "two lengths": (f"Content-Length: {len(BODY)}",) * 2,
    "two lengths that differ": ("Content-Length: 0", f"Content-Length: {len(BODY)}"),
    "two lengths in one": (f"Content-Length: {len(BODY)}, {len(BODY)}",),
    "a length with a sign": (f"Content-Length: +{len(BODY)}",),
    "a negative length": ("Content-Length: -1",),
    "a length in hex": ("Content-Length: 0x1a",),
    "a length past all numbers": ("Content-Length: 99999999999999999999999",),
    "an empty length": ("Content-Length:",),
    "a coding twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunks inside another": ("Transfer-Encoding: chunked, identity",),
    "chunks around another": ("Transfer-Encoding: gzip, chunked",),
    "no chunks": ("Transfer-Encoding: identity",),
    "an unknown coding": ("Transfer-Encoding: xchunked",),
    "a coding in quotes": ('Transfer-Encoding: "chunked"',),
    "a coding with a tab": ("Transfer-Encoding:\x0bchunked",),
    "a space before a colon": (f"Content-Length : {len(BODY)}",),
    "a tab before a colon": (f"Content-Length\t: {len(BODY)}",),
    "a folded line": (f"Content-Length: {len(BODY)}", "X: a\r\n b"),
    "a folded length": (f"Content-Length:\r\n {len(BODY)}",),
    "a line that ends without CR": (f"Content-Length: {len(BODY)}", "X: a\nY: b"),
    "a CR inside a line": (f"Content-Length: {len(BODY)}", "X: a\rY: b"),
    "a NUL": (f"Content-Length: {len(BODY)}", "X: a\x00b"),
    "a line without a colon": (f"Content-Length: {len(BODY)}", "X"),
    "a name that is none": (f"Content-Length: {len(BODY)}", "X Y: a"),
    "an empty name": (f"Content-Length: {len(BODY)}", ": a"),
    "a length far to the right": (f"Content-Length: {' ' * 500}{len(BODY)}",),
}


@pytest.mark.parametrize("lines", TWO_READINGS.values(), ids=TWO_READINGS)
async def test_an_ambiguous_head_is_a_400_and_closes_the_connection(lines, url):
    for is_hidden in (True, False):
        body = CHUNKS if is_hidden else BODY
        # One interpretation reads a body where the other reads the next request.
        sent = request(*JSON, *lines) + body + post(f"Origin: {ORIGIN}")
        answer = await ask(url, sent, to_end=True)
        assert (answer.status, answer.is_closed) == (400, True)
        assert ANSWER not in answer.body and b"HTTP/1.1" not in answer.body


@pytest.mark.parametrize(
    "line",
    [
        "POST /graphql HTTP/1.1\n",
        "POST  /graphql HTTP/1.1",
        "POST /graphql",
        "POST /graphql HTTP/2.0",
    ],
    ids=["no-cr", "two-spaces", "no-version", "other-version"],
)
async def test_a_line_that_asks_for_nothing_is_a_400(line, url):
    sent = request(*JSON, "Content-Length: 0", line=line).replace(b"\n\r\n", b"\n")
    assert (await ask(url, sent, to_end=True)).status == 400


@pytest.mark.parametrize(
    "chunks",
    [
        b"0\n\r\n",
        b"0\r\n\n",
        b"%x\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        b"%x\r\n%b\n0\r\n\r\n" % (len(BODY), BODY),
        b"%x\r\n%b\r\n0\r\nX: y\n\nGET / HTTP/1.1\r\n\r\n" % (len(BODY), BODY),
        b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        b"0x1a\r\n%b\r\n0\r\n\r\n" % BODY,
        b"-1\r\n",
        b"\r\n\r\n",
        b"1ffffffffffffffff\r\n",
        b"0" * 128 + b"5\r\nhello\r\n0\r\n\r\n",
        b"0" * 127 + b"10\r\n%b\r\n0\r\n\r\n" % BODY,
        b"1 0\r\n",
        b"%x\r\n%bXX0\r\n\r\n" % (len(BODY), BODY),
    ],
)
async def test_ambiguous_chunks_are_a_400_and_close_the_connection(chunks, url):
    answer = await ask(url, CHUNKED + chunks + post(f"Origin: {ORIGIN}"), to_end=True)
    assert (answer.status, answer.is_closed) == (400, True)
    assert ANSWER not in answer.body and b"HTTP/1.1" not in answer.body


@pytest.mark.parametrize("form", [post, handshake])
async def test_a_head_past_the_limit_is_a_431_that_its_page_may_read(form, serve):
    server = await serve(make_manager(max_head_bytes=2_000))
    for lines in (("X: " + "a" * 2_000,), tuple(f"X{n}: y" for n in range(80))):
        answer = await ask(server.url, form(f"Origin: {ORIGIN}", *lines), to_end=True)
        assert (answer.status, may_be_read(answer)) == (431, True)
        assert b"at most 2000 bytes" in answer.body and answer.is_closed
    answer = await ask(server.url, form(f"Origin: {ORIGIN}", "X: " + "a" * 1_000))
    assert answer.status in (101, 200)
