"""`POST /publish`: programs in any language publish to the clients of the embedded server."""

from __future__ import annotations

import asyncio
import functools
import traceback
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.certificates import Credentials
from support.publishing import KEY, post
from support.raw_http import ask, request

from fraiseql_subs import (
    TLS,
    ConfigurationError,
    Event,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
    subscription,
)

ticks = passthrough("ticks", int, channel="ticks")


@subscription(channel="orders", event_types=["paid"])
async def order(event: Event) -> list[str | None]:
    return [event.id, event.event_type, event.tenant_id, str(event["id"])]


def manager(**options: Any) -> SubscriptionManager:
    return SubscriptionManager([ticks, order], workers=1, **options)


async def next_of(results: Any) -> Any:
    result = await asyncio.wait_for(anext(results), PATIENCE)
    assert result.errors is None, result
    (value,) = result.data.values()
    return value


async def test_an_event_reaches_the_clients(tmp_path):
    served = manager()
    async with (
        served.serve(port=0, publish_key=KEY) as server,
        served.subscribe("subscription { order }") as results,
    ):
        assert server.publish_url == f"http://127.0.0.1:{server.port}/publish"
        event = {"channel": "orders", "data": {"id": 7}, "event_type": "paid", "event_id": "p-7"}
        response = await post(server.publish_url, {**event, "tenant_id": "acme"})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        told = response.json()
        assert told["event_id"] == "p-7" and told["offset"] == 1
        assert told["position"].endswith("-1")
        assert await next_of(results) == ["p-7", "paid", "acme", "7"]


async def test_a_list_is_published_in_its_order():
    served = manager()
    async with (
        served.serve(port=0, publish_key=KEY) as server,
        served.subscribe("subscription { ticks }") as results,
    ):
        events = [{"channel": "ticks", "data": number} for number in range(1000)]
        response = await post(server.publish_url, events)
        assert response.status_code == 200
        assert [told["offset"] for told in response.json()] == list(range(1, 1001))
        assert [await next_of(results) for _ in range(1000)] == list(range(1000))
        assert (await post(server.publish_url, [])).json() == []


async def test_data_that_is_null_is_published():
    async with manager().serve(port=0, publish_key=KEY) as server:
        event = {"channel": "ticks", "data": None, "event_id": None, "event_type": None}
        assert (await post(server.publish_url, event)).status_code == 200


async def test_it_is_off_by_default():
    async with manager().serve(port=0) as server:
        assert server.publish_url is None and server.publish_path is None
        url = server.http_url.replace("/graphql", "/publish")
        unknown = await post(url.replace("/publish", "/other"), {"channel": "ticks", "data": 1})
        response = await post(url, {"channel": "ticks", "data": 1})
        assert (
            (response.status_code, response.text)
            == (404, "")
            == (
                unknown.status_code,
                unknown.text,
            )
        )


async def test_each_of_several_keys_is_valid_at_a_path_of_ones_own():
    keys = [KEY, "another-key-0123456789"]
    async with manager().serve(port=0, publish_key=keys, publish_path="/in/events") as server:
        assert server.publish_path == "/in/events"
        for key in keys:
            for slash in ("", "/"):
                url = f"{server.publish_url}{slash}"
                response = await post(url, {"channel": "ticks", "data": 1}, key=key)
                assert response.status_code == 200


@pytest.mark.parametrize("key", [None, "wrong-key-0123456789", KEY[:-1], f"{KEY}x"])
async def test_without_a_valid_key_nothing_is_published(key, caplog):
    served = manager()
    async with served.serve(port=0, publish_key=KEY) as server:
        response = await post(server.publish_url, {"channel": "ticks", "data": 1}, key=key)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["outcome"] == "not_sent" and "key" in response.json()["error"]
        assert served.metrics().events_accepted == 0
        assert served.metrics().denied_authentication == 1
    assert "publishing denied" in caplog.text
    assert KEY not in caplog.text and "wrong-key" not in caplog.text


async def test_the_key_of_another_scheme_is_none():
    async with manager().serve(port=0, publish_key=KEY) as server:
        for value in (KEY, f"Basic {KEY}", f"Bearer{KEY}"):
            headers = {"authorization": value}
            event = {"channel": "ticks", "data": 1}
            response = await post(server.publish_url, event, key=None, headers=headers)
            assert response.status_code == 401, value


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused_and_no_page_may_read_it(method):
    security = Security(origins=["https://app.example"], hosts=["127.0.0.1"])
    async with manager(security=security).serve(port=0, publish_key=KEY) as server:
        headers = {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "authorization": f"Bearer {KEY}",
        }
        async with httpx.AsyncClient() as client:
            response = await client.request(method, server.publish_url, headers=headers)
            posted = await client.post(
                server.publish_url, headers=headers, json={"channel": "ticks", "data": 1}
            )
        assert response.status_code == 405 and response.headers["allow"] == "POST"
        assert posted.status_code == 200
        for told in (response, posted):
            assert not [name for name in told.headers if name.startswith("access-control")]


async def test_a_host_that_is_not_allowed_is_refused():
    security = Security(hosts=["api.example"])
    async with manager(security=security).serve(port=0, publish_key=KEY) as server:
        event = {"channel": "ticks", "data": 1}
        refused = await post(server.publish_url, event)
        assert refused.status_code == 403 and "host" in refused.json()["error"]
        allowed = await post(server.publish_url, event, headers={"host": "api.example"})
        assert allowed.status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "headers", "part"),
    [
        (400, b"", {}, "not JSON"),
        (400, b"{", {}, "not JSON"),
        (400, b"\xff", {}, "not JSON"),
        (400, b"[7]", {}, "events[0]: it is no JSON object"),
        (400, b'{"data":1}', {}, "`channel` is missing"),
        (400, b'{"channel":"ticks"}', {}, "`data` is missing"),
        (400, b'{"channel":"","data":1}', {}, "`channel` is empty"),
        (400, b'{"channel":"a","data":1,"event_id":""}', {}, "event_id is empty"),
        (400, b'{"channel":"a","data":1,"chanel":"a"}', {}, '"chanel" is no member'),
        (400, b'{"channel":"a","data":1,"data":2}', {}, "`data` is given twice"),
        (400, b'[{"channel":"a","data":1},{"channel":7,"data":1}]', {}, "events[1]: `channel`"),
        (400, b'{"channel":"a","data":"\\ud800"}', {}, "lone surrogate"),
        (400, b'{"channel":"a","data":' + b"[" * 200 + b"]" * 200 + b"}", {}, "127"),
        (413, b'{"channel":"a","data":"' + b"x" * 3000 + b'"}', {}, "2000 bytes"),
        (415, b"{}", {"content-type": "text/plain"}, "application/json"),
        (415, b"{}", {"content-encoding": "gzip"}, "content-encoding"),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_is_published(status, body, headers, part):
    served = manager(limits=Limits(max_message_bytes=2000))
    async with served.serve(port=0, publish_key=KEY) as server:
        response = await post(server.publish_url, body, headers=headers)
        assert response.status_code == status, response.text
        told = response.json()
        assert part in told["error"], told
        assert told["retryable"] is False and told["outcome"] == "not_sent"
        assert served.metrics().events_accepted == 0


GOOD = b'{"channel":"ticks","data":1}'


@pytest.mark.parametrize(
    "wrong",
    [
        b"7",
        b"[]",
        b'"text"',
        b'"\\ud800"',
        b"{}",
        b'{"channel":"","data":1}',
        b'{"channel":"ticks","data":"\\udc00"}',
        b'{"channel":"\\ud800","data":1}',
        b'{"channel":"ticks","data":1,"\\ud800":2}',
        b'{"channel":"ticks","data":1e999}',
        b'{"channel":"ticks","data":{"deep":' + b"[" * 200 + b"]" * 200 + b"}}",
        b'{"channel":"ticks","data":1,"event_id":7}',
        b'{"channel":"ticks","data":1,"other":7}',
        b'{"channel":"ticks","data":1,"data":7}',
    ],
)
async def test_an_error_of_an_event_names_its_place_in_the_list(wrong):
    async with manager().serve(port=0, publish_key=KEY) as server:
        listed = b"[" + b",".join([GOOD, GOOD, wrong, GOOD]) + b"]"
        response = await post(server.publish_url, listed)
        assert response.status_code == 400, response.text
        assert "Invalid request: events[2]: " in response.json()["error"]
        alone = await post(server.publish_url, wrong)
        if wrong != b"[]":
            assert alone.status_code == 400
            assert "Invalid request: the event: " in alone.json()["error"]


async def test_more_events_than_a_request_may_have_are_refused():
    async with manager().serve(port=0, publish_key=KEY) as server:
        response = await post(server.publish_url, [{"channel": "a", "data": 1}] * 1001)
        assert response.status_code == 413 and "1000" in response.json()["error"]


async def test_tenants_are_isolated():
    served = manager(security=Security(tenant=TenantIsolation()))
    mine = Identity(user_id="1", tenant_id="mine")
    async with (
        served.serve(port=0, publish_key=KEY) as server,
        served.subscribe("subscription { order }", identity=mine) as results,
    ):
        event = {"channel": "orders", "event_type": "paid"}
        other = {**event, "data": {"id": 1}, "tenant_id": "other"}
        named = {**event, "data": {"id": 2, "tenant_id": "mine"}}
        wrong = {**event, "data": {"id": 3, "tenant_id": "mine"}, "tenant_id": "other"}
        assert (await post(server.publish_url, [other, named])).status_code == 200
        refused = await post(server.publish_url, [named, wrong])
        assert refused.status_code == 400
        assert "events[1]: tenant_id is `other`" in refused.json()["error"]
        alone = await post(server.publish_url, wrong)
        assert alone.status_code == 400
        assert "the event: tenant_id is `other`" in alone.json()["error"]
        assert (await next_of(results))[3] == "2"
        assert served.metrics().events_accepted == 2


async def test_http_2_and_tls(tmp_path):
    made = Credentials(tmp_path)
    served = manager()
    tls = TLS(cert=made.cert, key=made.key)
    async with served.serve(port=0, tls=tls, publish_key=KEY) as server:
        assert server.publish_url.startswith("https://")
        event = {"channel": "ticks", "data": 1}
        response = await post(server.publish_url, event, http2=True)
        assert (response.http_version, response.status_code) == ("HTTP/2", 200)
        refused = await post(server.publish_url, event, key="wrong-key-0123456789", http2=True)
        assert (refused.http_version, refused.status_code) == ("HTTP/2", 401)


@pytest.mark.parametrize(
    "fields",
    [
        # As the client of Java sends it by default.
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA"],
        ["Content-Type: Application/JSON; charset=UTF-8"],
        ["Accept: text/html"],
    ],
)
async def test_heads_of_other_clients_are_taken(fields):
    event = b'{"channel":"ticks","data":1}'
    if not any(field.startswith("Content-Type") for field in fields):
        fields = [*fields, "Content-Type: application/json"]
    lengths = [f"Authorization: Bearer {KEY}", f"Content-Length: {len(event)}"]
    async with manager().serve(port=0, publish_key=KEY) as server:
        head = request(*fields, *lengths, line="POST /publish HTTP/1.1")
        assert (await ask(server.publish_url, head + event)).status == 200
        chunked = [f"Authorization: Bearer {KEY}", "Transfer-Encoding: chunked"]
        head = request(*fields, *chunked, line="POST /publish HTTP/1.1")
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in event) + b"0\r\n\r\n"
        assert (await ask(server.publish_url, head + body)).status == 200


async def test_the_same_server_answers_graphql_beside_it():
    async with manager().serve(port=0, publish_key=KEY) as server:
        response = await post(server.http_url, {"query": "{ __typename }"}, key=None)
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"publish_key": "short"}, "at least 16"),
        ({"publish_key": "x" * 15}, "15 characters"),
        ({"publish_key": "with a blank in it"}, "visible ASCII"),
        ({"publish_key": "schlüssel-0123456789"}, "visible ASCII"),
        ({"publish_key": []}, "empty list"),
        ({"publish_key": b"0123456789abcdef"}, "bytes"),
        ({"publish_key": 7}, "int"),
        ({"publish_key": [KEY, "short"]}, "5 characters"),
        ({"publish_key": {KEY: 1}}, "dict"),
        ({"publish_key": KEY, "publish_path": "/graphql"}, "path of GraphQL"),
        ({"publish_key": KEY, "publish_path": "/graphql/"}, "path of GraphQL"),
        ({"publish_key": KEY, "publish_path": "/metrics"}, "publish_path"),
        ({"publish_key": KEY, "publish_path": "publish"}, "publish_path"),
        ({"publish_key": KEY, "publish_path": "/{a}"}, "publish_path"),
        ({"publish_path": "/in"}, "publish_key"),
    ],
)
def test_keys_and_paths_that_cannot_be_used_are_refused_where_they_are_written(options, part):
    with pytest.raises(ConfigurationError) as refused:
        manager().serve(port=0, **options)
    assert part in str(refused.value)
    assert KEY not in str(refused.value) and "0123456789" not in str(refused.value)


def shown(exception: BaseException) -> str:
    """Return a traceback with the variables of its frames."""
    told = traceback.TracebackException.from_exception(exception, capture_locals=True)
    return "".join(told.format())


def everything_of(thing: object, seen: set[int]) -> list[str]:
    """Return the representations of an object and of all that it keeps."""
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    inner = list(getattr(thing, "__dict__", {}).values())
    if isinstance(thing, dict):
        inner += [*thing, *thing.values()]
    elif isinstance(thing, tuple | list | set | frozenset):
        inner += thing
    return [repr(thing), *(text for each in inner for text in everything_of(each, seen))]


async def test_a_server_does_not_keep_its_keys():
    served = manager()
    server = served.serve(port=0, publish_key=[KEY, "another-key-0123456789"])
    for _ in range(2):
        texts = everything_of(server, set())
        assert not [text for text in texts if KEY in text or "another-key" in text]
    with pytest.raises(ZeroDivisionError) as raised:
        async with server:
            assert KEY not in "".join(everything_of(server, set()))
            assert (await post(server.publish_url, GOOD)).status_code == 200
            raise ZeroDivisionError
    assert KEY not in "".join(map(repr, vars(server).values()))
    assert raised.value


def test_a_traceback_of_a_program_that_serves_does_not_show_its_keys():
    async def fail() -> None:
        raise ZeroDivisionError

    serve = functools.partial(manager().run, port=0, publish_key=KEY, main=fail)
    with pytest.raises(ZeroDivisionError) as raised:
        serve()
    # Without the frame of the test, which has the key.
    frames = raised.value.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    assert frames is not None
    assert KEY not in shown(raised.value.with_traceback(frames))
