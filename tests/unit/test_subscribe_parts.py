"""What the command `subscribe` reads: documents, and streams cut at any place."""

from __future__ import annotations

import pytest

from fraiseql_subs.commands import _subscribe_streams
from fraiseql_subs.commands._subscribe_request import (
    ConnectionLost,
    SentOperation,
    ServerRefusal,
    operations,
)
from fraiseql_subs.commands._subscribe_session import pause_before
from fraiseql_subs.commands._subscribe_streams import multipart_results, server_sent_results


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("{ a }", [("query", None)]),
        ("query { a }", [("query", None)]),
        ("subscription S { a }", [("subscription", "S")]),
        ("subscription @live(a: {b: 1}) { a }", [("subscription", None)]),
        (
            "subscription S($a: In = {b: {c: [1]}}, $d: ID) @e { a(b: {c: $a}) { query } }"
            " mutation query { b }",
            [("subscription", "S"), ("mutation", "query")],
        ),
        ("fragment subscription on mutation { a } { b }", [("query", None)]),
        (
            '# subscription { a }\n"{ a }" query Q { a(b: "}", c: """ \\""" } ") """) }',
            [("query", "Q")],
        ),
        ("mutation # M\n N { a }", [("mutation", "N")]),
        ("", []),
        ("}}}} {", []),
        ("nothing", []),
    ],
)
def test_the_operations_of_a_document_are_found(document, found):
    assert operations(document) == found


@pytest.mark.parametrize(
    ("document", "name", "is_one"),
    [
        ("subscription A { a } query B { b }", "A", True),
        ("subscription A { a } query B { b }", "B", False),
        ("subscription A { a } query B { b }", None, False),
        ("subscription A { a }", "B", False),
        ("no document", None, False),
    ],
)
def test_what_is_surely_a_subscription_is_one(document, name, is_one):
    assert SentOperation(document, name=name).is_subscription is is_one


async def chunks(text: bytes, size: int):
    for start in range(0, len(text), size):
        yield text[start : start + size]


EVENTS = (
    b':\n\nid: 1\nevent: next\ndata: {"data":\ndata: 1}\n\n:\r\n\r\nevent: other\r\ndata: x\r\n\r\n'
    b'event:next\rdata:{"data":"\xe2\x80\xa8"}\r\rdata: {"data": 3}\n\nevent: next\n\n'
)
PARTS = (
    b'preamble\r\n--a b\r\ncontent-type: application/json\r\n\r\n{"payload": {"data": 1}}'
    b"\r\n--a b\r\n\r\n{}"
    b'\r\n--a b\r\n\r\n{"payload": {"data": "\xe2\x80\xa8"}}\r\n--a b'
    b'\r\n\r\n{"payload": {"data": 3}}'
    b'\r\n--a b\r\n\r\n{"payload": null}\r\n--a b'
)
CONTENT_TYPE = 'multipart/mixed; Boundary="a b";subscriptionSpec=1.0'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_streams_are_read_wherever_they_are_cut(size):
    expected = [{"data": 1}, {"data": "\u2028"}, {"data": 3}]
    ended = chunks(EVENTS + b"event: complete\ndata:\n\nnot read", size)
    assert [result async for result in server_sent_results(ended)] == expected
    ended = chunks(PARTS.removeprefix(b"preamble\r\n") + b"--\r\nnot read", size)
    assert [result async for result in multipart_results(ended, CONTENT_TYPE)] == expected
    for results in (
        server_sent_results(chunks(EVENTS, size)),
        multipart_results(chunks(PARTS, size), CONTENT_TYPE),
    ):
        received = []
        with pytest.raises(ConnectionLost):
            async for result in results:
                received.append(result)
        assert received == expected


async def test_a_subscription_that_fails_as_a_whole_has_errors():
    text = b'--b\r\n\r\n{"payload": null, "errors": [{"message": "no"}]}\r\n--b--\r\n'
    results = multipart_results(chunks(text, 9), "multipart/mixed; boundary=b")
    assert [result async for result in results] == [{"errors": [{"message": "no"}]}]


@pytest.mark.parametrize(
    "text", [b"data: {\n\n", b"data: 1\n\n", b"data: " + b"[" * 99999 + b"\n\n"]
)
async def test_what_is_no_result_is_refused(text):
    with pytest.raises(ServerRefusal):
        async for _ in server_sent_results(chunks(text, 1000)):
            pass


@pytest.mark.parametrize(
    "text", [b"data: " + b"x" * 100, b"data: x\n" * 50], ids=["one line", "many lines"]
)
async def test_what_an_endless_event_takes_is_bounded(text, monkeypatch):
    monkeypatch.setattr(_subscribe_streams, "MAX_RESULT", 90)
    with pytest.raises(ServerRefusal, match="more than 90 bytes"):
        async for _ in server_sent_results(chunks(text, 7)):
            pass


async def test_what_an_endless_part_takes_is_bounded(monkeypatch):
    monkeypatch.setattr(_subscribe_streams, "MAX_RESULT", 90)
    with pytest.raises(ServerRefusal, match="more than 90 bytes"):
        async for _ in multipart_results(chunks(b"--b\r\n" + b"x" * 100, 7), "boundary=b"):
            pass


def test_pauses_grow_to_a_bound_and_obey_the_server():
    longest = [pause_before(attempts, 0, lambda: 1.0) for attempts in (0, 1, 2, 6, 10**6)]
    assert longest == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert pause_before(0, 0, lambda: 0.0) == 0.25
    assert pause_before(0, 10, lambda: 1.0) == 10.5
