"""Servers with TLS, and programs that connect to them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.redis_server import RedisServer

from fraiseql_subs import PublishError, SubscriptionManager, passthrough


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


def url_of(port: int, authorities: Path, client: Credentials | None) -> str:
    identity = f"&tls_certificate={client.cert}&tls_key={client.key}" if client else ""
    return f"rediss://localhost:{port}?tls_ca={authorities}{identity}"


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
