"""The URLs of docs/how-to/redis.md: a server, a Unix socket, TLS, Sentinel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.redis_server import RedisServer, free_port

from fraiseql_subs import ConfigurationError, SubscriptionManager, passthrough


async def carries_events(url: str) -> bool:
    """Whether an event goes from one node to another."""
    one, other = (
        SubscriptionManager(
            [passthrough("ticks", int, channel="ticks")], bus=url, publish_timeout=PATIENCE
        )
        for _ in range(2)
    )
    async with one, other, other.subscribe("subscription { ticks }") as results:
        receipt = await one.publish("ticks", 7)
        result = await asyncio.wait_for(anext(results), PATIENCE)
        return receipt.offset >= 1 and result.data == {"ticks": 7}


async def test_a_server_by_its_database_and_prefix(tmp_path):
    async with RedisServer(tmp_path) as redis:
        assert await carries_events(f"{redis.url}/2?prefix=shop&partitions=16")
        assert await redis.command("-n", "2", "GET", "shop:layout") == "16"


async def test_a_unix_socket(tmp_path):
    path = tmp_path / "redis.sock"
    async with RedisServer(tmp_path, {"unixsocket": str(path)}):
        assert await carries_events(f"redis+unix://{path}")


async def test_tls_with_an_authority_and_a_certificate_of_the_client(tmp_path):
    made, port = Credentials(tmp_path), free_port()
    authority = tmp_path / "authority.pem"
    made.authority.cert_pem.write_to_path(str(authority))
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(made.cert),
        "tls-key-file": str(made.key),
        "tls-ca-cert-file": str(authority),
    }
    async with RedisServer(tmp_path, options):
        files = f"tls_ca={authority}&tls_certificate={made.cert}&tls_key={made.key}"
        assert await carries_events(f"rediss://localhost:{port}?{files}")


@contextlib.asynccontextmanager
async def sentinel(redis: RedisServer, folder: Path) -> AsyncIterator[int]:
    """Run a sentinel whose password is `sesame`; yield its port."""
    port = free_port()
    settings = [
        f"port {port}",
        "bind 127.0.0.1",
        "requirepass sesame",
        f"sentinel monitor mymaster 127.0.0.1 {redis.port} 1",
        f"logfile {folder / 'sentinel.log'}",
    ]
    (folder / "sentinel.conf").write_text("\n".join(settings) + "\n")
    process = await asyncio.create_subprocess_exec(
        "redis-server", str(folder / "sentinel.conf"), "--sentinel"
    )

    async def listens() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True

    try:
        await eventually(listens, "the sentinel listens")
        yield port
    finally:
        process.kill()
        await process.wait()


async def test_a_master_that_a_sentinel_names(tmp_path):
    async with RedisServer(tmp_path) as redis, sentinel(redis, tmp_path) as port:
        at = f"redis+sentinel://127.0.0.1:{port}"
        assert await carries_events(f"{at}/mymaster?sentinel_password=sesame")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("redis://bus:s3cret#x@127.0.0.1", "%23"),
        ("redis://s3cret@127.0.0.1", "user:password@host"),
        ("redis://127.0.0.1?s3cret=1", "the options are"),
        ("redis://127.0.0.1?partitions=3", "power of two"),
        ("redis://:s3cret@127.0.0.1?tls_ca=x", "rediss://"),
        ("redis+sentinel://:s3cret@127.0.0.1", "name of the master"),
        ("kafka://127.0.0.1", "redis://"),
    ],
)
async def test_a_wrong_url_is_refused_without_showing_it(url, hint):
    with pytest.raises(ConfigurationError) as raised:
        SubscriptionManager([passthrough("ticks", int, channel="ticks")], bus=url).sdl()
    assert hint in str(raised.value)
    assert "s3cret" not in str(raised.value)
