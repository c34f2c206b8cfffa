"""Programs without a key cannot use up the server by `POST /publish`."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from support import PATIENCE, eventually
from support.publishing import KEY, post
from support.raw_http import ask, request
from support.server_process import ServerProcess, manager

pytestmark = pytest.mark.attack

EVENT = b'{"channel":"ticks","data":"tick"}'
WRONG = "Authorization: Bearer wrong-key-0123456789"
RIGHT = f"Authorization: Bearer {KEY}"
LINE = "POST /publish HTTP/1.1"


def server(options: str = "") -> ServerProcess:
    return ServerProcess(manager(options), f", publish_key={KEY!r}")


def url(of: ServerProcess) -> str:
    return f"http://127.0.0.1:{of.port}/publish"


def head(*fields: str, length: int | None = len(EVENT)) -> bytes:
    lengths = [] if length is None else [f"Content-Length: {length}"]
    return request("Content-Type: application/json", *lengths, *fields, line=LINE)


async def test_a_wrong_key_is_refused_before_the_body_is_read():
    async with server() as attacked:
        for fields in ([WRONG], [], ["Authorization: Basic x"]):
            # No byte of the body is sent.
            answer = await ask(url(attacked), head(*fields, length=1_000_000), to_end=True)
            assert answer.status == 401 and answer.is_closed
        expecting = head(WRONG, "Expect: 100-continue")
        assert (await ask(url(attacked), expecting, to_end=True)).status == 401
        expecting = head(RIGHT, "Expect: 100-continue")
        assert (await ask(url(attacked), expecting)).status == 100


async def test_a_flood_of_wrong_keys_is_limited_by_address():
    security = 'security=Security(rates=Rates(refusals="20/m"))'
    async with server(security) as attacked:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            statuses = []
            for _ in range(40):
                headers = {"authorization": "Bearer wrong-key-0123456789"}
                response = await client.post(url(attacked), content=EVENT, headers=headers)
                statuses.append(response.status_code)
        assert statuses[0] == 401 and statuses[-1] == 429
        assert statuses.count(401) == 20
        last = await post(url(attacked), EVENT, key="wrong-key-0123456789")
        assert last.json()["retryable"] is True and int(last.headers["retry-after"]) >= 1


async def test_keys_that_are_right_count_for_no_rate():
    security = 'security=Security(rates=Rates(messages="5/m"))'
    async with server(security) as used:
        for _ in range(20):
            assert (await post(url(used), EVENT)).status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"{", {}),
        (400, b"\xff", {}),
        (400, b"7", {}),
        (400, b'[{"channel":"ticks","data":"\\ud800"}]', {}),
        (400, b'{"channel":"ticks"}', {}),
        (413, b"[" + b"{}," * 1000 + b"{}]", {}),
        (413, b'{"channel":"ticks","data":[' + b"{}," * 340_000 + b"0]}", {}),
        (413, b" " * 2_000_000, {}),
        (415, EVENT, {"content-type": "text/plain"}),
        (415, EVENT, {"content-encoding": "gzip"}),
    ],
)
async def test_bodies_that_cannot_be_read_count_for_their_address(status, body, headers):
    security = 'security=Security(rates=Rates(refusals="3/h"))'
    async with server(security) as attacked:
        for _ in range(10):
            assert (await post(url(attacked), EVENT)).status_code == 200
        statuses = [
            (await post(url(attacked), body, headers=headers)).status_code for _ in range(4)
        ]
        assert statuses == [status, status, status, 429]
        refused = await post(url(attacked), EVENT)
        assert refused.status_code == 429 and refused.json()["retryable"] is True
        assert int(refused.headers["retry-after"]) >= 1


async def test_slow_bodies_are_ended():
    async with server("limits=Limits(request_timeout=0.5)") as attacked:
        before = attacked.descriptors
        slow = [ask(url(attacked), head(RIGHT) + EVENT[:5], to_end=True) for _ in range(50)]
        answers = await asyncio.gather(*slow)
        assert {answer.status for answer in answers} == {408}
        assert json.loads(answers[0].body)["retryable"] is True
        await eventually(lambda: attacked.descriptors <= before, "all sockets are closed")
        assert (await post(url(attacked), EVENT)).status_code == 200


async def test_huge_heads_and_lengths_are_refused():
    async with server() as attacked:
        large = f"X-Large: {'x' * 70_000}"
        answer = await ask(url(attacked), head(RIGHT, large) + EVENT, to_end=True)
        assert answer.status == 431
        long = await ask(url(attacked), head(RIGHT, length=1 << 40), to_end=True)
        assert long.status == 413
        expecting = head(RIGHT, large, "Expect: 100-continue")
        answer = await ask(url(attacked), expecting, to_end=True)
        assert answer.status == 431 and json.loads(answer.body)["outcome"] == "not_sent"
        key = f"Authorization: Bearer {'x' * 60_000}"
        assert (await ask(url(attacked), head(key) + EVENT, to_end=True)).status == 401


@pytest.mark.parametrize(
    "fields",
    [
        [RIGHT, WRONG],
        [RIGHT, RIGHT],
        [RIGHT, "Content-Type: application/json"],
        [RIGHT, "Host: other"],
        [RIGHT, "Transfer-Encoding: chunked"],
    ],
)
async def test_heads_with_two_readings_are_refused(fields):
    async with server() as attacked:
        answer = await ask(url(attacked), head(*fields) + EVENT, to_end=True)
        assert answer.status == 400 and answer.is_closed
        assert await attacked.metric("events_accepted") == 0


async def test_pipelined_requests_are_each_checked():
    async with server() as attacked:
        one = head(RIGHT) + EVENT
        answer = await ask(url(attacked), one * 3 + head(WRONG, length=None) + one, to_end=True)
        # What follows a refused request may be refused with it.
        published = 1 + answer.body.count(b"HTTP/1.1 200")
        assert answer.status == 200 and answer.body.count(b"HTTP/1.1 401") == 1
        assert published in (3, 4)
        assert await attacked.metric("events_accepted") == published


async def test_small_values_do_not_take_more_memory_than_they_may():
    async with server() as attacked:
        await post(url(attacked), EVENT)
        before = attacked.peak_memory
        body = b'{"channel":"ticks","data":[' + b"{}," * 340_000 + b"0]}"
        assert len(body) < 1 << 20
        response = await post(url(attacked), body)
        assert response.status_code == 413, response.text
        assert attacked.peak_memory - before < 24
        many = b"[" + b"{}," * 340_000 + b"{}]"
        assert (await post(url(attacked), many)).status_code == 413
        assert attacked.peak_memory - before < 24


async def test_requests_count_for_max_connections():
    async with server("limits=Limits(max_connections=2)") as used:
        pending = [
            asyncio.ensure_future(ask(url(used), head(RIGHT), to_end=True)) for _ in range(2)
        ]

        async def is_full() -> bool:
            return (await post(url(used), EVENT)).status_code == 503

        await eventually(is_full, "a further request is refused")
        refused = await post(url(used), EVENT)
        assert refused.json()["retryable"] is True and refused.headers["retry-after"] == "1"
        # The body is not requested.
        answer = await ask(url(used), head(RIGHT, "Expect: 100-continue"), to_end=True)
        assert answer.status == 503 and answer.is_closed
        assert json.loads(answer.body)["retryable"] is True
        assert answer.headers["retry-after"] == "1"
        # A wrong key is told as such, also then.
        answer = await ask(url(used), head(WRONG, "Expect: 100-continue"), to_end=True)
        assert answer.status == 401
        for task in pending:
            task.cancel()

        async def is_requested() -> bool:
            expecting = head(RIGHT, "Expect: 100-continue")
            return (await ask(url(used), expecting)).status == 100

        await eventually(is_requested, "there are places again")
