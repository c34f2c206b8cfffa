"""Connections that begin with a header of the PROXY protocol, and those that should."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.proxy_header import (
    LOCAL,
    PROXY,
    TCP4,
    UNIX,
    HeaderProxy,
    binary,
    unread,
    version_1,
    version_2,
)
from support.publishing import KEY, post
from support.raw_http import ANSWER, ask
from support.raw_http import post as raw_post

from fraiseql_subs import (
    ConfigurationError,
    ConnectionParams,
    Identity,
    Limits,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)

CLIENT = "203.0.113.7"
V6 = "2001:db8::7"
OPERATION = {"query": "{ __typename }"}
TLVS = b"\x04\x00\x03abc" + b"\x20\x00\x05\x01\x00\x00\x00\x00"
BEHIND = {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"], "proxy_protocol": True}
REQUEST = raw_post()

HEADERS = pytest.mark.parametrize(
    ("header", "address"),
    [
        pytest.param(version_1(CLIENT), f"{CLIENT}:5000", id="line"),
        pytest.param(version_1(V6), f"[{V6}]:5000", id="line-ipv6"),
        pytest.param(version_2(CLIENT), f"{CLIENT}:5000", id="binary"),
        pytest.param(version_2(V6, tlvs=TLVS), f"[{V6}]:5000", id="binary-ipv6-tlvs"),
    ],
)


class Hook:
    """Lets all clients in, and keeps their addresses."""

    def __init__(self) -> None:
        self.addresses: list[str | None] = []

    async def __call__(self, params: ConnectionParams) -> Identity:
        self.addresses.append(params.remote_address)
        return Identity("ada")


def manager_with(hook: Hook | None = None, **options: Any) -> SubscriptionManager:
    limits = options.pop("limits", Limits(request_timeout=10 * PATIENCE))
    security = Security(authenticate=hook, **options)
    ticks = passthrough("ticks", int, channel="ticks")
    return SubscriptionManager([ticks], security=security, limits=limits, workers=1)


@pytest.fixture
def hook():
    return Hook()


@pytest.fixture
async def through(stack):
    """Return a port at which a proxy of one header listens: `port = await through(...)`."""

    async def start(target: int | str, header: bytes) -> int:
        return (await stack.enter_async_context(HeaderProxy(target, header))).port

    return start


@contextlib.asynccontextmanager
async def http(**options: Any):
    async with httpx.AsyncClient(timeout=PATIENCE, **options) as client:
        yield client


@HEADERS
async def test_a_websocket(header, address, hook, serve, connect, through):
    manager = manager_with(hook)
    server = await serve(manager, **BEHIND)
    port = await through(server.port, header)
    client = await connect(f"ws://127.0.0.1:{port}/graphql")
    assert hook.addresses == [address]
    (connection,) = manager.connections()
    assert connection.remote_address == address
    await client.subscribe("subscription { ticks }")
    await manager.publish("ticks", 7)
    assert (await client.receive())["payload"] == {"data": {"ticks": 7}}


@HEADERS
async def test_a_request_and_an_event_stream(header, address, hook, serve, through):
    manager = manager_with(hook)
    server = await serve(manager, **BEHIND)
    url = f"http://127.0.0.1:{await through(server.port, header)}/graphql"
    async with http() as client:
        for more in ({}, {"Expect": "100-continue"}):
            answer = await client.post(url, json=OPERATION, headers=more)
            assert answer.status_code == 200
        asked = {"query": "subscription { ticks }"}
        events = {"accept": "text/event-stream"}
        async with client.stream("POST", url, json=asked, headers=events) as stream:
            lines = stream.aiter_lines()
            await asyncio.wait_for(anext(lines), PATIENCE)
            await manager.publish("ticks", 7)
            line = ""
            while not line.startswith("data"):
                line = await asyncio.wait_for(anext(lines), PATIENCE)
            assert "7" in line
    assert hook.addresses == [address] * 3


@HEADERS
@pytest.mark.parametrize("http2", [False, True])
async def test_tls_begins_behind_the_header(
    http2, header, address, hook, serve, connect, through, tmp_path
):
    credentials = Credentials(tmp_path)
    server = await serve(manager_with(hook), tls=credentials.tls, **BEHIND)
    port = await through(server.port, header)
    async with http(http2=http2, verify=credentials.trusting) as client:
        for _ in range(2):
            answer = await client.post(f"https://127.0.0.1:{port}/graphql", json=OPERATION)
            assert answer.status_code == 200
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    if not http2:
        await connect(f"wss://127.0.0.1:{port}/graphql", ssl=credentials.trusting)
    assert hook.addresses == [address] * (2 if http2 else 3)


@HEADERS
async def test_a_unix_socket(header, address, hook, through, tmp_path):
    path = str(tmp_path / "s")
    settings = {"trusted_proxies": ["unix"], "proxy_protocol": True}
    async with manager_with(hook).serve(unix=path, **settings):
        port = await through(path, header)
        assert (await ask(f"http://127.0.0.1:{port}", REQUEST)).body == ANSWER
    assert hook.addresses == [address]


async def test_pages_and_publishing(serve, through):
    server = await serve(manager_with(), publish_key=KEY, **BEHIND)
    url = f"http://127.0.0.1:{await through(server.port, version_2(CLIENT))}"
    async with http() as client:
        for path in ("/health", "/health/live", "/health/ready", "/metrics"):
            assert (await client.get(f"{url}{path}")).status_code == 200, path
    published = await post(f"{url}/publish", {"channel": "ticks", "data": 1})
    assert published.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"PROXY UNKNOWN\r\n", id="unknown"),
        pytest.param(b"PROXY UNKNOWN 203.0.113.7 10.0.0.1 5000 80\r\n", id="unknown-address"),
        pytest.param(binary(LOCAL, 0), id="local"),
        pytest.param(binary(LOCAL, TCP4, version_2(CLIENT)[16:]), id="local-address"),
        pytest.param(binary(PROXY, 0), id="unspecified"),
        pytest.param(binary(PROXY, UNIX, b"/" * 216), id="unix"),
    ],
)
async def test_a_header_without_an_address_leaves_that_of_the_proxy(header, hook, serve):
    server = await serve(manager_with(hook), **BEHIND)
    # The proxy passes bytes on, so the client has written the headers of HTTP itself.
    made_up = raw_post("X-Forwarded-For: 203.0.113.8"), raw_post("Forwarded: for=203.0.113.8")
    for request in (REQUEST, *made_up):
        assert (await ask(server.http_url, header + request)).body == ANSWER
    assert len(hook.addresses) == 3
    assert all(address.startswith("127.0.0.1:") for address in hook.addresses)


async def test_the_address_counts_as_the_peer_of_headers_of_http(hook, serve):
    server = await serve(manager_with(hook), **BEHIND)
    request = raw_post("X-Forwarded-For: 203.0.113.8")
    for header in (version_1("10.1.2.3"), version_1(CLIENT)):
        assert (await ask(server.http_url, header + request)).body == ANSWER
    # That of the second is no trusted proxy.
    assert hook.addresses == ["203.0.113.8:0", f"{CLIENT}:5000"]


async def test_each_client_has_its_own_rate(serve):
    server = await serve(manager_with(rates=Rates(subscribes="1/h", per="address")), **BEHIND)
    statuses = [
        (await ask(server.http_url, header + REQUEST)).status
        for header in (version_1(CLIENT), version_2("203.0.113.8"), version_2(CLIENT))
    ]
    assert statuses == [200, 200, 429]


async def test_a_header_is_read_once_for_each_connection(hook, serve):
    server = await serve(manager_with(hook), **BEHIND)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(version_1(CLIENT) + REQUEST)
    await asyncio.wait_for(reader.readuntil(ANSWER), PATIENCE)
    writer.write(version_1("198.51.100.1"))
    assert b" 400 " in await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.close()
    assert hook.addresses == [f"{CLIENT}:5000"]


async def test_the_longest_header_is_passed_over(hook, serve):
    server = await serve(manager_with(hook), **BEHIND)
    header = version_2(CLIENT, tlvs=b"\xee" * (65_535 - 12))
    assert (await ask(server.http_url, header + REQUEST)).body == ANSWER
    line = b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r\n"
    assert (await ask(server.http_url, line + REQUEST)).body == ANSWER
    assert hook.addresses[0] == f"{CLIENT}:5000"


@HEADERS
async def test_a_header_may_arrive_byte_by_byte(header, address, hook, serve):
    server = await serve(manager_with(hook), **BEHIND)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = writer.get_extra_info("sockname")[1]
    for at in range(len(header)):
        writer.write(header[at : at + 1])
        await eventually(lambda: unread(server.port, port) == 0, "the server has read it")
    writer.write(REQUEST)
    answer = await asyncio.wait_for(reader.readuntil(ANSWER), PATIENCE)
    assert b" 200 " in answer
    writer.close()
    assert hook.addresses == [address]


@pytest.fixture
def refusals(caplog):
    """Wait for refused connections: `reasons = await refusals(count)`."""
    caplog.set_level(logging.WARNING, "fraiseql_subs.audit")

    async def wait(count: int) -> list[str]:
        def reasons() -> list[str]:
            found = [r for r in caplog.records if getattr(r, "event_name", "") == "proxy.denied"]
            for record in found:
                assert record.fields["check"] == "proxy"
                assert record.fields["peer"].startswith("127.0.0.1:")
            return [record.fields["reason"] for record in found]

        await eventually(lambda: len(reasons()) >= count, "the refusals are logged")
        assert len(reasons()) == count
        return reasons()

    return wait


async def test_others_than_trusted_proxies_are_closed(hook, serve, refusals):
    manager = manager_with(hook)
    settings = {"proxy_protocol": True, "trusted_proxies": ["10.0.0.0/8", "unix"]}
    server = await serve(manager, **settings)
    for header in (version_1("10.0.0.1"), version_2("10.0.0.1"), b""):
        answer = await ask(server.http_url, header + REQUEST, to_end=True)
        assert answer.status == 0
    reasons = await refusals(3)
    assert all("no trusted proxy" in reason for reason in reasons)
    assert manager.metrics().denied_proxy == 3
    assert hook.addresses == []


MALFORMED = {
    "none": (b"", "has no PROXY header"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00", "has no PROXY header"),
    "http": (b"GET / HTTP/1.1\r\nX: PROXY TCP4\r\n\r\n", "has no PROXY header"),
    "line": (b"PROXY TCP4 203.0.113.7 10.0.0.1 5000\r\n", "version 1 cannot be read"),
    "lone-lf": (b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 80\n", "version 1 cannot be read"),
    "port": (b"PROXY TCP4 203.0.113.7 10.0.0.1 70000 80\r\n", "version 1 cannot be read"),
    "108 bytes": (b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r\n", "more than 107 bytes"),
    "version": (binary(0x31, TCP4, b"\0" * 12), "version 2 cannot be read"),
    "family": (binary(PROXY, 0x51, b"\0" * 12), "version 2 cannot be read"),
    "short": (binary(PROXY, TCP4, b"\0" * 11), "version 2 cannot be read"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_connection_without_a_proper_header_is_closed(name, hook, serve, refusals):
    header, reason = MALFORMED[name]
    manager = manager_with(hook)
    server = await serve(manager, **BEHIND)
    answer = await ask(server.http_url, header + REQUEST, to_end=True)
    assert answer.status == 0
    (told,) = await refusals(1)
    assert reason in told
    assert manager.metrics().denied_proxy == 1
    assert hook.addresses == []
    # Others are served.
    assert (await ask(server.http_url, version_2(CLIENT) + REQUEST)).body == ANSWER


async def test_tls_without_a_header_is_closed(serve, refusals, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(manager_with(), tls=credentials.tls, **BEHIND)
    async with http(verify=credentials.trusting) as client:
        with pytest.raises(httpx.TransportError):
            await client.get(f"https://127.0.0.1:{server.port}/health")
    assert "has no PROXY header" in (await refusals(1))[0]


async def test_a_connection_that_ends_inside_its_header_is_counted_and_an_empty_one_not(
    serve, refusals
):
    manager = manager_with()
    server = await serve(manager, **BEHIND)
    for sent in (b"", version_1(CLIENT)[:20], b"", version_2(CLIENT)[:20], b"P"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
    reasons = await refusals(3)
    assert all("ended inside" in reason for reason in reasons)
    assert manager.metrics().denied_proxy == 3


@pytest.mark.parametrize("sent", [b"", b"PROXY ", version_2(CLIENT)[:-1]])
async def test_a_header_that_does_not_go_on_is_closed(sent, serve, refusals):
    server = await serve(manager_with(limits=Limits(request_timeout=0.2)), **BEHIND)
    assert (await ask(server.http_url, sent, to_end=True)).is_closed
    assert "Limits.request_timeout" in (await refusals(1))[0]


@pytest.mark.parametrize("header", [version_1(CLIENT), version_2(CLIENT)])
async def test_a_header_is_not_believed_where_none_is_expected(header, hook, serve):
    server = await serve(manager_with(hook), trusted_proxies=["127.0.0.1"])
    answer = await ask(server.http_url, header + REQUEST, to_end=True)
    assert answer.status in (0, 400)
    assert hook.addresses == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "needs trusted_proxies=: list the addresses"),
        ({"trusted_proxies": ["unix"]}, "needs trusted_proxies=: list the addresses"),
        ({"trusted_proxies": ["10.0.0.1"], "unix": "s"}, r'needs trusted_proxies=\["unix"\]'),
    ],
)
def test_a_server_that_no_proxy_could_reach_is_refused(settings, text):
    with pytest.raises(ConfigurationError, match=text):
        manager_with().serve(proxy_protocol=True, **settings)


def test_a_given_socket_that_no_proxy_could_reach_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(ConfigurationError, match=r'trusted_proxies=\["unix"\]'):
            manager_with().serve(listener=listener, **BEHIND)
