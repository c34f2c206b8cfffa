"""The embedded server behind TLS."""

from __future__ import annotations

import ssl

import pytest
import trustme

from fraiseql_subs import TLS, ConfigurationError, SubscriptionManager, passthrough


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority) -> TLS:
    issued = authority.issue_cert("127.0.0.1")
    cert = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return TLS(cert=cert, key=issued.private_key_pem.bytes())


@pytest.fixture
def trusting(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


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
    await client.receive()
    await client.expect_close(1001)


async def test_certificate_and_key_may_be_files(tls, trusting, serve, connect, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(tls.cert)
    key.write_bytes(tls.key)
    server = await serve(make_manager(), tls=TLS(cert=cert, key=str(key)))
    await connect(server.url, ssl=trusting)


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
