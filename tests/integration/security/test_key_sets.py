"""Key sets come from servers of the company as well: its own authority, and through its proxy."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support import eventually
from support.certificates import Credentials
from support.connect_proxy import ConnectProxy
from support.key_server import KeyServer
from support.tokens import SECRET, token

from fraiseql_subs import JWT, Security, SubscriptionManager, passthrough

VARIABLES = [
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (upper, upper.lower())
] + ["SSL_CERT_FILE", "SSL_CERT_DIR"]

NOT_TRUSTED = "its certificate is not of an authority that this system trusts, or not valid"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the settings of this machine out of the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield


@pytest.fixture
def credentials(tmp_path):
    return Credentials(tmp_path, "127.0.0.1", "localhost", "keys.example.com")


@asynccontextmanager
async def key_server(credentials: Credentials | None = None):
    context = None
    if credentials is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(credentials.cert, credentials.key)
    async with KeyServer(context) as keys:
        keys.keys = {"one": SECRET}
        yield keys


async def is_accepted(url: str, serve: Any, connect: Any) -> bool:
    security = Security(jwt=JWT(jwks_url=url, algorithms=["HS256"]))
    server = await serve(
        SubscriptionManager([passthrough("ticks", int, channel="ticks")], security=security)
    )
    client = await connect(server.url, init=False, proxy=None)
    signed = token(header={"alg": "HS256", "typ": "JWT", "kid": "one"})
    await client.send({"type": "connection_init", "payload": {"token": signed}})
    try:
        return (await client.receive())["type"] == "connection_ack"
    except Exception:
        await client.expect_close(4403)
        return False


async def problem(caplog: Any) -> str:
    def written() -> list[logging.LogRecord]:
        return [r for r in caplog.records if r.name == "fraiseql_subs.jwt"]

    await eventually(lambda: bool(written()), "the problem is logged")
    return str(written()[0].fields["problem"])


async def test_an_authority_that_the_system_trusts(credentials, monkeypatch, serve, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys:
        assert await is_accepted(keys.url, serve, connect)


async def test_another_authority_is_not_trusted(credentials, serve, connect, caplog):
    async with key_server(credentials) as keys:
        assert not await is_accepted(keys.url, serve, connect)
        assert keys.asked == 0
    assert await problem(caplog) == NOT_TRUSTED


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("place", ["absent", "empty"])
async def test_a_place_without_certificates_is_not_replaced_by_others(
    name, place, tmp_path, monkeypatch, credentials, serve, connect, caplog
):
    """The operator has named who is trusted, so no other authority is."""
    if place == "empty":
        path = tmp_path / place
        path.touch() if name == "SSL_CERT_FILE" else path.mkdir()
    monkeypatch.setenv(name, str(tmp_path / place))
    async with key_server(credentials) as keys:
        assert not await is_accepted(keys.url, serve, connect)
    assert await problem(caplog) == "SSL_CERT_FILE or SSL_CERT_DIR names no readable certificate"


async def test_a_certificate_of_another_host_is_not_accepted(
    tmp_path, monkeypatch, serve, connect, caplog
):
    other = Credentials(tmp_path, "other.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.authorities))
    async with key_server(other) as keys:
        assert not await is_accepted(keys.url, serve, connect)
    assert await problem(caplog) == NOT_TRUSTED


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(name, credentials, monkeypatch, serve, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys, ConnectProxy() as proxy:
        monkeypatch.setenv(name, f"http://{proxy.address}")
        # This machine cannot find the host; the proxy can.
        url = f"https://keys.example.com:{keys.port}/keys"
        assert await is_accepted(url, serve, connect)
        assert proxy.asked == [f"keys.example.com:{keys.port}"]


@pytest.mark.parametrize(
    ("host", "without"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.0/8,127.0.0.0/8"),
        ("localhost", "localhost"),
        ("localhost", "*"),
    ],
)
async def test_hosts_without_a_proxy(host, without, credentials, monkeypatch, serve, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys, ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", without)
        url = keys.url.replace("127.0.0.1", host)
        assert await is_accepted(url, serve, connect)
        assert proxy.asked == []


async def test_a_key_server_of_this_machine_needs_no_proxy(monkeypatch, serve, connect):
    async with key_server() as keys, ConnectProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        assert await is_accepted(keys.url, serve, connect)
        assert proxy.asked == []


async def test_a_proxy_that_asks_for_a_password(credentials, monkeypatch, serve, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys, ConnectProxy("ada:s3cret") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:s3cret@{proxy.address}")
        assert await is_accepted(keys.url, serve, connect)


@pytest.mark.parametrize(
    ("password", "refuses", "expected"),
    [
        ("wr0ng", False, "the proxy asks for a name and a password"),
        ("s3cret", True, "the proxy refuses to connect to it"),
    ],
)
async def test_what_a_proxy_refuses_is_told_without_its_password(
    password, refuses, expected, credentials, monkeypatch, serve, connect, caplog
):
    caplog.set_level(logging.DEBUG)
    async with key_server(credentials) as keys, ConnectProxy("ada:s3cret") as proxy:
        proxy.refuses = refuses
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:{password}@{proxy.address}")
        assert not await is_accepted(keys.url, serve, connect)
    assert await problem(caplog) == expected
    assert password not in caplog.text and all(
        password not in str(vars(record)) for record in caplog.records
    )


async def test_a_proxy_that_is_not_there(monkeypatch, serve, connect, caplog):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert not await is_accepted("https://keys.example.com/", serve, connect)
    assert await problem(caplog) == "the proxy cannot be connected to"


async def test_a_redirect_may_not_leave_tls(credentials, monkeypatch, serve, connect, caplog):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys, key_server() as others:
        keys.status, keys.header = "302 Found", f"Location: {others.url}"
        assert not await is_accepted(keys.url, serve, connect)
        assert (keys.asked, others.asked) == (1, 0)
    assert "TLS" in await problem(caplog)


async def test_a_redirect_is_followed(credentials, monkeypatch, serve, connect):
    monkeypatch.setenv("SSL_CERT_FILE", str(credentials.authorities))
    async with key_server(credentials) as keys, key_server(credentials) as others:
        keys.status, keys.header = "302 Found", f"Location: {others.url}"
        assert await is_accepted(keys.url, serve, connect)


async def test_a_redirect_from_a_url_without_tls_is_not_followed(serve, connect, caplog):
    async with key_server() as keys, key_server() as others:
        keys.status, keys.header = "302 Found", f"Location: {others.url}"
        assert not await is_accepted(keys.url, serve, connect)
        assert (keys.asked, others.asked) == (1, 0)
    assert await problem(caplog) == "answered 302"


async def test_a_key_set_that_is_too_large(serve, connect, caplog):
    async with key_server() as keys:
        keys.padding = 2 * 1024 * 1024
        assert not await is_accepted(keys.url, serve, connect)
    assert await problem(caplog) == "the answer is too large"


async def test_a_host_that_is_not_known(serve, connect, caplog):
    assert not await is_accepted("https://keys.invalid/", serve, connect)
    assert await problem(caplog) == "the name of its host is not known"
