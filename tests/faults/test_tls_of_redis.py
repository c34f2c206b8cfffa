"""X9: certificates that do not fit are refused with the reason, and new ones are taken."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.redis_server import RedisServer, free_port
from support.tcp_proxy import TcpProxy
from tls import node, refusal, tls_options, url_of

from fraiseql_subs import PublishError

pytestmark = pytest.mark.faults

FEED = "subscription { feed }"


LONG_AGO = datetime.now(timezone.utc) - timedelta(days=1)


@pytest.mark.parametrize("why", ["another authority", "it has expired", "another name"])
async def test_a_certificate_that_does_not_fit_is_refused(why, start_redis, tmp_path, caplog):
    names = ["redis.example"] if why == "another name" else []
    not_after = LONG_AGO if why == "it has expired" else None
    server = Credentials(tmp_path / "server", *names, not_after=not_after)
    client = Credentials(tmp_path / "client")
    trusted = client if why == "another authority" else server
    port = free_port()
    redis = await start_redis(**tls_options(server, client, port))
    told = await refusal(url_of(port, trusted.authorities, client), redis, caplog)
    assert "certificate" in told
    expected = {
        "another authority": "UnknownIssuer",
        "it has expired": "xpired",
        "another name": "not valid for name",
    }
    assert expected[why] in told
    assert "tls_ca" in told


@pytest.mark.parametrize("missing", ["tls_ca", "tls_certificate", "tls_key"])
async def test_a_file_that_cannot_be_read_is_named(missing, start_redis, tmp_path, caplog):
    server = Credentials(tmp_path / "server")
    port = free_port()
    redis = await start_redis(**tls_options(server, server, port))
    file = {
        "tls_ca": server.authorities,
        "tls_certificate": server.cert,
        "tls_key": server.key,
    }[missing]
    file.unlink()
    told = await refusal(url_of(port, server.authorities, server), redis, caplog)
    assert str(file) in told
    assert "cannot be read" in told


async def receives(results, number: int) -> None:
    """Take the next event, which has this number."""
    result = await asyncio.wait_for(anext(results), PATIENCE)
    assert result.data == {"feed": number}


async def change_server(redis: RedisServer, server: Credentials, clients: Credentials) -> None:
    """Have a server use other files."""
    settings = tls_options(server, clients, 0)
    del settings["tls_port"]
    words = [word for name, value in settings.items() for word in (name.replace("_", "-"), value)]
    assert await redis.command("CONFIG", "SET", *words) == "OK"


async def test_files_that_were_replaced_are_used_for_the_next_connection(start_redis, tmp_path):
    """All of them: authority, certificate and key of both sides."""
    server, client = Credentials(tmp_path / "server"), Credentials(tmp_path / "client")
    known = tmp_path / "known.pem"
    known.write_bytes(server.authorities.read_bytes())
    port = free_port()
    redis = await start_redis(**tls_options(server, client, port))
    url = url_of(port, known, client)
    async with node(url) as one, node(url) as other, other.subscribe(FEED) as results:
        await one.publish("feed", 1)
        await receives(results, 1)
        # Connections stay.
        client = Credentials(tmp_path / "client")
        renewed = Credentials(tmp_path / "renewed")
        known.write_bytes(renewed.authorities.read_bytes())
        await change_server(redis, renewed, client)
        await one.publish("feed", 2)
        await receives(results, 2)
        for kind in ("pubsub", "normal"):
            await redis.command("CLIENT", "KILL", "TYPE", kind)
        await one.publish("feed", 3)
        await receives(results, 3)


@pytest.mark.slow_fault
async def test_files_that_come_too_late_are_used_without_a_restart(start_redis, tmp_path, stack):
    """Links are refused until the certificate is there; its key alone is not enough."""
    server, client = Credentials(tmp_path / "server"), Credentials(tmp_path / "client")
    port = free_port()
    redis = await start_redis(**tls_options(server, client, port))
    proxy = await stack.enter_async_context(TcpProxy(port))
    url = url_of(proxy.port, server.authorities, client)
    publisher = node(url, timeout=2.0)
    async with publisher as one, node(url) as other, other.subscribe(FEED) as results:
        await one.publish("feed", 1)
        await receives(results, 1)
        old = client.cert.read_bytes()
        renewed = Credentials(tmp_path / "client")
        new = renewed.cert.read_bytes()
        renewed.cert.write_bytes(old)
        await change_server(redis, server, renewed)
        attempts = proxy.attempts
        proxy.cut()
        await eventually(lambda: proxy.attempts >= attempts + 6, "each link is tried again")
        with pytest.raises(PublishError, match="tls_certificate and tls_key cannot be used"):
            await one.publish("feed", 2)
        renewed.cert.write_bytes(new)

        async def is_published() -> bool:
            return (await one.publish("feed", 2, event_id="second")).offset == 2

        await eventually(is_published, "new links are made")
        await receives(results, 2)
