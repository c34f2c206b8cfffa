"""HTTP/1: a connection whose client has announced its last request."""

from __future__ import annotations

import pytest
from support.raw_http import ANSWER, BODY, ask, post, request

from fraiseql_subs import SubscriptionManager, passthrough

ENDS = {
    "Connection: close": post("Connection: close"),
    "close among others": post("Connection: keep-alive, Close"),
    "HTTP/1.0": post(line="POST /graphql HTTP/1.0"),
    "a chunked body": request(
        "Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close"
    )
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
}


@pytest.fixture
async def url(serve):
    server = await serve(SubscriptionManager([passthrough("feed", int, channel="feed")]))
    return server.http_url


@pytest.mark.parametrize("sent", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("more", [post(), b"no request", post() * 100], ids=["one", "junk", "many"])
async def test_what_follows_the_last_request_is_not_answered(url, sent, more):
    answer = await ask(url, sent + more, to_end=True)
    assert (answer.status, answer.body, answer.is_closed) == (200, ANSWER, True)
    assert answer.headers.get("connection", "close") == "close"


async def test_requests_before_the_last_one_are_answered(url):
    answer = await ask(url, post() * 2 + post("Connection: close") + post(), to_end=True)
    assert answer.status == 200
    assert answer.body.count(b"HTTP/1.1 200 OK") == 2
    assert answer.body.count(ANSWER) == 3


async def test_a_client_of_http_1_0_may_keep_its_connection(url):
    kept = post("Connection: keep-alive", line="POST /graphql HTTP/1.0")
    answer = await ask(url, kept + post("Connection: close"), to_end=True)
    assert answer.body.count(ANSWER) == 2
