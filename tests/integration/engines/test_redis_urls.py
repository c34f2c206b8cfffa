"""The URLs of docs/how-to/redis.md: a server, a Unix socket, TLS, Sentinel."""

from __future__ import annotations

import asyncio

import pytest
from support import PATIENCE
from support.certificates import Credentials
from support.redis_sentinel import RedisSentinel
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
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(made.cert),
        "tls-key-file": str(made.key),
        "tls-ca-cert-file": str(made.authorities),
    }
    async with RedisServer(tmp_path, options):
        files = f"tls_ca={made.authorities}&tls_certificate={made.cert}&tls_key={made.key}"
        assert await carries_events(f"rediss://localhost:{port}?{files}")


async def test_a_master_that_a_sentinel_names(tmp_path):
    folder = tmp_path / "sentinel"
    folder.mkdir()
    async with (
        RedisServer(tmp_path) as redis,
        RedisSentinel(folder, redis.port, settings=("requirepass sesame",)) as sentinel,
    ):
        at = f"redis+sentinel://127.0.0.1:{sentinel.port}"
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
