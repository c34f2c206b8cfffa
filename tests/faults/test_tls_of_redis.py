"""X9: certificates that do not fit are refused with the reason, and new ones are taken."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.redis_server import RedisServer, free_port

from fraiseql_subs import PublishError, SubscriptionManager, passthrough

pytestmark = pytest.mark.faults

FEED = "subscription { feed }"


def tls_options(server: Credentials, clients: Credentials, port: int) -> dict[str, str]:
    """Return the settings of a server that asks clients for a certificate."""
    return {
        "tls_port": str(port),
        "tls_cert_file": str(server.cert),
        "tls_key_file": str(server.key),
        "tls_ca_cert_file": str(clients.authorities),
    }


def node(url: str, timeout: float = PATIENCE) -> SubscriptionManager:
    return SubscriptionManager(
        [passthrough("feed", int, channel="feed")], bus=url, publish_timeout=timeout, workers=1
    )


def url_of(port: int, authorities: Path, client: Credentials | None, scheme: str = "rediss") -> str:
    identity = f"&tls_certificate={client.cert}&tls_key={client.key}" if client else ""
    return f"{scheme}://localhost:{port}?tls_ca={authorities}{identity}"


async def refusal(url: str, redis: RedisServer, caplog) -> str:
    """Return what the log says of a bus that cannot be used."""
    caplog.set_level(logging.INFO)
    async with node(url, timeout=0.3) as manager:
        with pytest.raises(PublishError) as refused:
            await manager.publish("feed", 1)
        assert refused.value.outcome == "not_sent"
        await eventually(lambda: "the bus " in caplog.text, "the log says what is wrong")
        assert manager.metrics().bus_is_live == 0
    # Nor was anything sent in another way.
    assert await redis.command("KEYS", "*") == ""
    return caplog.text


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
        "another name": "NotValidForName",
    }
    assert expected[why] in told
    assert "tls_ca" in told


@pytest.mark.parametrize("has_one", [False, True], ids=["none", "one of another authority"])
async def test_a_client_that_redis_does_not_trust_is_refused(
    has_one, start_redis, tmp_path, caplog
):
    server, client = Credentials(tmp_path / "server"), Credentials(tmp_path / "client")
    port = free_port()
    redis = await start_redis(**tls_options(server, server, port))
    url = url_of(port, server.authorities, client if has_one else None)
    told = await refusal(url, redis, caplog)
    assert "tls_certificate" in told


async def test_a_port_without_tls_is_told(start_redis, tmp_path, caplog):
    redis = await start_redis()
    made = Credentials(tmp_path / "made")
    told = await refusal(url_of(redis.port, made.authorities, None), redis, caplog)
    assert "TLS" in told and "redis://" in told


async def test_a_port_with_tls_is_told(start_redis, tmp_path, caplog):
    server = Credentials(tmp_path / "server")
    port = free_port()
    redis = await start_redis(**tls_options(server, server, port))
    told = await refusal(f"redis://localhost:{port}", redis, caplog)
    assert "rediss://" in told


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
async def test_files_that_come_too_late_are_used_without_a_restart(start_redis, tmp_path, caplog):
    """Links are refused for a while, and the log says why; a key alone is not enough."""
    caplog.set_level(logging.INFO)
    server, client = Credentials(tmp_path / "server"), Credentials(tmp_path / "client")
    port = free_port()
    redis = await start_redis(**tls_options(server, client, port))
    url = url_of(port, server.authorities, client)
    async with node(url) as one, node(url) as other, other.subscribe(FEED) as results:
        await one.publish("feed", 1)
        await receives(results, 1)
        old = client.cert.read_bytes()
        renewed = Credentials(tmp_path / "client")
        new = renewed.cert.read_bytes()
        # The key is there already, and its certificate is not.
        renewed.cert.write_bytes(old)
        await change_server(redis, server, renewed)
        for kind in ("pubsub", "normal"):
            await redis.command("CLIENT", "KILL", "TYPE", kind)
        await eventually(
            lambda: "tls_certificate and tls_key cannot be used" in caplog.text, "the log says why"
        )
        renewed.cert.write_bytes(new)
        await one.publish("feed", 2)
        await receives(results, 2)
