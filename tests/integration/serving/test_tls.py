"""The embedded server behind TLS."""

from __future__ import annotations

import json
import re
import ssl
from typing import Any

import httpx
import pytest
import trustme
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.node import NodeProcess
from support.progress import clients_left, disconnect_slow_consumer
from support.resolvers import Endless

from fraiseql_subs import (
    TLS,
    ConfigurationError,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
)


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")])


@pytest.fixture(scope="module")
def credentials(tmp_path_factory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def authority(credentials) -> trustme.CA:
    return credentials.authority


@pytest.fixture(scope="module")
def tls(credentials) -> TLS:
    return credentials.tls


@pytest.fixture
def trusting(credentials) -> ssl.SSLContext:
    return credentials.trusting


async def test_a_client_subscribes_over_tls(tls, trusting, serve, connect):
    manager = make_manager()
    server = await serve(manager, tls=tls)
    assert server.url.startswith("wss://127.0.0.1:")
    client = await connect(server.url, ssl=trusting)
    await client.subscribe("subscription { ticks }")
    await manager.publish("ticks", 1)
    assert await client.receive_data() == {"ticks": 1}
    await manager.disconnect(tenant_id="none")
    await manager.close(drain=1)
    await client.expect_close(1001)


async def test_certificate_and_key_may_be_files(tls, trusting, serve, connect, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(tls.cert)
    key.write_bytes(tls.key)
    server = await serve(make_manager(), tls=TLS(cert=cert, key=str(key)))
    await connect(server.url, ssl=trusting)


EVENTS = "text/event-stream"
PARTS = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'


@pytest.fixture
async def http2(trusting):
    """A client that speaks HTTP/2 only."""
    async with httpx.AsyncClient(
        verify=trusting, http1=False, http2=True, timeout=PATIENCE
    ) as client:
        yield client


async def test_a_query_is_answered_over_http_2(tls, http2, serve):
    server = await serve(make_manager(), tls=tls)
    response = await http2.post(server.http_url, json={"query": "{ __typename }"})
    assert response.http_version == "HTTP/2"
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_a_head_over_http_2_has_the_length_of_what_a_get_has(tls, http2, serve):
    server = await serve(make_manager(), tls=tls)
    asked = {"params": {"query": "{ __typename }"}, "headers": {"accept": "application/json"}}
    expected = await http2.get(server.http_url, **asked)
    for url in (server.http_url, f"{server.http_url}/"):
        response = await http2.head(url, **asked)
        assert response.http_version == "HTTP/2" and response.content == b""
        length = response.headers["content-length"]
        assert length == expected.headers["content-length"] == str(len(expected.content))


async def test_a_head_of_a_stream_over_http_2_ends(tls, http2, serve):
    server = await serve(make_manager(), tls=tls)
    query = {"query": "subscription { ticks }"}
    response = await http2.head(server.http_url, params=query, headers={"accept": EVENTS})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


def open_streams(authority, server, *requests) -> Any:
    """Open streams on one connection of HTTP/2 with Node.js."""
    ca = authority.cert_pem.bytes().decode()
    options = {"url": server.http_url, "ca": ca, "requests": requests}
    return NodeProcess.run("http2.mjs", json.dumps(options))


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_many_streams_share_a_connection_of_http_2(accept, authority, tls, serve):
    manager = make_manager()
    server = await serve(manager, tls=tls)
    request = {"query": "subscription { ticks }", "accept": accept, "until": '"ticks":99}'}
    async with open_streams(authority, server, *[request] * 20) as node:
        await eventually(lambda: manager.metrics().subscriptions == 20, "all are subscribed")
        for number in range(100):
            await manager.publish("ticks", number)
        for _ in range(20):
            received = re.findall(r'"ticks":(\d+)', (await node.read())["text"])
            assert received == [str(number) for number in range(100)]


async def test_a_stream_of_http_2_that_its_client_leaves_ends(authority, tls, serve, within):
    endless = Endless()
    # No heartbeat would show that it is not read.
    manager = SubscriptionManager([endless.declare()], limits=Limits(keepalive=None))
    server = await serve(manager, tls=tls)
    left = {"query": "subscription { endless }", "accept": EVENTS, "until": "begun", "leave": True}
    next_one = {"query": "{ __typename }", "until": "}}"}
    async with open_streams(authority, server, left, next_one) as node:
        assert "begun" in (await node.read())["text"]
        assert json.loads((await node.read())["text"]) == {"data": {"__typename": "Query"}}
        await within(endless.ended.wait())


async def test_a_connection_of_http_2_that_is_gone_ends_its_streams(authority, tls, serve, within):
    endless = Endless()
    manager = SubscriptionManager([endless.declare()], limits=Limits(keepalive=None))
    server = await serve(manager, tls=tls)
    request = {"query": "subscription { endless }", "accept": EVENTS, "until": "begun"}
    async with open_streams(authority, server, request) as node:
        assert "begun" in (await node.read())["text"]
    await within(endless.ended.wait())


async def test_a_slow_stream_of_http_2_harms_no_other_stream(authority, tls, serve):
    fields = [passthrough("blob", str, channel="blob"), passthrough("ticks", int, channel="ticks")]
    manager = SubscriptionManager(fields, limits=Limits(max_pending_bytes=200_000))
    server = await serve(manager, tls=tls)
    slow = {"query": "subscription { blob }", "accept": EVENTS, "ignore": True}
    healthy = {"query": "subscription { ticks }", "accept": EVENTS, "until": '"ticks":1}'}

    async with open_streams(authority, server, slow, healthy) as node:
        await eventually(lambda: manager.metrics().subscriptions == 2, "both are subscribed")
        await disconnect_slow_consumer(manager, "blob", "x" * 50_000)
        await manager.publish("ticks", 1)
        assert '"ticks":1}' in (await node.read())["text"]
        # It has its data; the slow client has pending data that it does not read.
        await clients_left(manager, 1)


async def test_the_name_that_http_2_asks_for_is_checked_as_a_host(tls, http2, serve):
    manager = SubscriptionManager(
        [passthrough("ticks", int, channel="ticks")], security=Security(hosts=["127.0.0.1"])
    )
    server = await serve(manager, tls=tls)
    body = {"query": "{ __typename }"}
    assert (await http2.post(server.http_url, json=body)).status_code == 200
    refused = await http2.post(server.http_url, json=body, headers={"host": "evil.example"})
    assert refused.status_code == 403


async def test_a_websocket_client_negotiates_http_1(tls, trusting, serve, connect):
    manager = make_manager()
    server = await serve(manager, tls=tls)
    trusting.set_alpn_protocols(["http/1.1"])
    client = await connect(server.url, ssl=trusting)
    negotiated = client.socket.transport.get_extra_info("ssl_object").selected_alpn_protocol()
    assert negotiated == "http/1.1"
    await client.subscribe("subscription { ticks }")
    await manager.publish("ticks", 1)
    assert await client.receive_data() == {"ticks": 1}


async def test_old_versions_of_tls_are_not_spoken(tls, trusting, serve, connect):
    server = await serve(make_manager(), tls=tls)
    with pytest.warns(DeprecationWarning):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError, EOFError)):
        await connect(server.url, ssl=trusting)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"cert": b"nothing"}, "no PEM block `CERTIFICATE`"),
        ({"key": b"nothing"}, "no PEM block of a private key"),
        ({"cert": "/nowhere/cert.pem"}, "TLS.cert cannot be read"),
    ],
)
async def test_a_certificate_that_cannot_be_used_is_refused(change, problem, tls):
    parts = {"cert": tls.cert, "key": tls.key, **change}
    with pytest.raises(ConfigurationError) as refused:
        async with make_manager().serve(port=0, tls=TLS(**parts)):
            pass
    assert problem in str(refused.value)


async def test_the_key_of_another_certificate_is_refused(authority, tls):
    other = authority.issue_cert("127.0.0.1").private_key_pem.bytes()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with make_manager().serve(port=0, tls=TLS(cert=tls.cert, key=other)):
            pass
