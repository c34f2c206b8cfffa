"""`Redis(...)`: what a URL cannot say, such as a password that a function returns."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from declared import feed, node
from nodes import take
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.programs import finish, start
from support.redis_server import RedisServer, free_port

from fraiseql_subs import (
    ConfigurationError,
    Publisher,
    PublishError,
    Redis,
    SchemaError,
    SubscriptionManager,
    SyncPublisher,
)

FEED = "subscription { feed }"


class Vault:
    """Where a program gets its password from."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.threads: list[int] = []

    def __call__(self) -> str:
        self.threads.append(threading.get_ident())
        return self.password


async def carries(bus: Redis) -> bool:
    """Whether an event goes from one node to another."""
    async with node(bus) as a, node(bus) as b, b.subscribe(FEED) as results:
        await a.publish("feed", 7)
        return await take(results, 1) == [7]


async def rotate(redis: RedisServer, before: str, after: str) -> None:
    """Change the password of Redis, and end all its connections."""
    login = ["--no-auth-warning", "-a", before]
    assert (
        await redis.command(*login, "ACL", "SETUSER", "default", f">{after}", f"<{before}") == "OK"
    )
    login = ["--no-auth-warning", "-a", after]
    for kind in ("normal", "pubsub"):
        await redis.command(*login, "CLIENT", "KILL", "TYPE", kind)


async def test_a_password_that_is_rotated_is_asked_for_again(tmp_path):
    async with RedisServer(tmp_path, {"requirepass": "first"}) as redis:
        vault = Vault("first")
        bus = Redis(redis.url, password=vault)
        async with node(bus) as manager, manager.subscribe(FEED) as results:
            await manager.publish("feed", 1)
            asked = len(vault.threads)
            vault.password = "second"
            await rotate(redis, "first", "second")
            await eventually(lambda: len(vault.threads) >= asked + 3, "each link asks again")
            await eventually(lambda: manager.metrics().bus_is_live == 1, "the node is back")
            await manager.publish("feed", 2)
            assert await take(results, 2) == [1, 2]
            # Not on the event loop, which it may not hold up.
            assert threading.get_ident() not in vault.threads


@pytest.mark.parametrize("kind", ["text", "function", "user"])
async def test_user_and_password_open_redis(tmp_path, kind):
    async with RedisServer(tmp_path, {"requirepass": "p@ss:/?#%"}) as redis:
        if kind == "user":
            login = ["--no-auth-warning", "-a", "p@ss:/?#%"]
            rules = ["on", ">s3cret", "~*", "&*", "+@all"]
            assert await redis.command(*login, "ACL", "SETUSER", "bus", *rules) == "OK"
            bus = Redis(redis.url, username="bus", password=lambda: "s3cret")
        else:
            password: Any = "p@ss:/?#%" if kind == "text" else (lambda: "p@ss:/?#%")
            bus = Redis(redis.url, password=password)
        assert await carries(bus)


async def test_publishers_take_it_too(tmp_path):
    async with RedisServer(tmp_path, {"requirepass": "sesame"}) as redis:
        bus = Redis(redis.url, password=lambda: "sesame")
        async with node(bus) as manager, manager.subscribe(FEED) as results:
            async with Publisher(bus) as publisher:
                await publisher.publish("feed", 1)
            with SyncPublisher(bus) as sync:
                # On this thread, with the GIL: the function is called on another one.
                sync.publish("feed", 2)
            assert await take(results, 2) == [1, 2]


async def test_prefix_partitions_and_sizes(redis: RedisServer):
    bus = Redis(redis.url, prefix="shop", partitions=16, max_event_bytes=2048)
    assert await carries(bus)
    assert await redis.command("GET", "shop:layout") == "16"
    async with node(bus) as manager:
        with pytest.raises(PublishError, match="2048"):
            await manager.publish("feed", "x" * 3000)
    async with node(Redis(redis.url, max_event_bytes=4 << 20)) as manager:
        async with manager.subscribe("subscription { caller }"):
            assert (await manager.publish("orders", "x" * (3 << 20))).offset == 1


async def test_files_of_tls(tmp_path):
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
        bus = Redis(
            f"rediss://localhost:{port}",
            ca=authority,
            client_cert=str(made.cert),
            client_key=Path(made.key),
        )
        assert await carries(bus)


def raising() -> str:
    raise RuntimeError("the vault is sealed")


def exiting() -> str:
    raise SystemExit("no")


async def coroutine() -> str:
    return "sesame"


@pytest.mark.parametrize(
    ("password", "part"),
    [
        (raising, "RuntimeError: the vault is sealed"),
        (exiting, "SystemExit"),
        (lambda: 7, "`int`"),
        (lambda: b"sesame", "`bytes`"),
        (lambda: "", "empty"),
        (lambda: None, "NoneType"),
        (lambda: "\ud800", "surrogate"),
        (lambda: coroutine(), "await"),
        (lambda needed: needed, "TypeError"),
    ],
)
async def test_a_function_that_returns_no_password_is_told_and_called_again(
    tmp_path, caplog, password: Callable[..., Any], part
):
    caplog.set_level(logging.DEBUG)
    answers: list[Callable[[], Any]] = [password]
    async with RedisServer(tmp_path, {"requirepass": "sesame"}) as redis:
        async with node(Redis(redis.url, password=lambda: answers[0]())) as manager:
            waiting = asyncio.ensure_future(manager.publish("feed", 1))
            await eventually(lambda: part in caplog.text, "the log says why")
            assert "there is no password" in caplog.text
            answers[0] = lambda: "sesame"
            assert (await asyncio.wait_for(waiting, PATIENCE)).offset == 1
    assert "sesame" not in caplog.text


async def test_a_function_that_blocks_holds_up_no_client(tmp_path):
    release, called = threading.Event(), threading.Event()

    def slow() -> str:
        called.set()
        release.wait(PATIENCE)
        return "sesame"

    async with RedisServer(tmp_path, {"requirepass": "sesame"}) as redis:
        async with node(Redis(redis.url, password=slow), publish_timeout=PATIENCE) as manager:
            async with manager.serve(port=0):
                waiting = asyncio.ensure_future(manager.publish("feed", 1))
                await eventually(called.is_set, "the function is called")
                result = await asyncio.wait_for(
                    anext(manager.subscribe("{ __typename }")), PATIENCE
                )
                assert result.data == {"__typename": "Query"}
                assert not waiting.done()
                release.set()
                assert (await asyncio.wait_for(waiting, PATIENCE)).offset == 1


async def test_a_program_ends_while_the_function_runs(tmp_path):
    code = """
import asyncio, threading
from fraiseql_subs import Redis, SubscriptionManager, passthrough

called = threading.Event()

def ask():
    called.set()
    threading.Event().wait(30)

async def main():
    bus = Redis("redis://127.0.0.1:1", password=ask)
    async with SubscriptionManager([passthrough("a", int, channel="a")], bus=bus):
        await asyncio.to_thread(called.wait)

asyncio.run(main())
print("ended")
"""
    begun = time.monotonic()
    status, out, err = await finish(await start(code))
    assert (status, out.strip(), err) == (0, "ended", "")
    assert time.monotonic() - begun < 25


async def test_a_manager_that_its_function_refers_to_is_collected():
    class Owner:
        def __init__(self) -> None:
            bus = Redis("redis://127.0.0.1:1", password=self.ask)
            self.manager = SubscriptionManager([feed], bus=bus)

        def ask(self) -> str:
            return "x"

    owner = Owner()
    async with owner.manager:
        pass
    gone = weakref.ref(owner)
    del owner

    def is_collected() -> bool:
        gc.collect()
        return gone() is None

    await eventually(is_collected, "the owner is collected")


SECRET = "s3cret"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"url": "memory://"}, "URL of a Redis"),
        ({"url": f"kafka://:{SECRET}@host"}, "scheme"),
        ({"url": f"redis://{SECRET}@host"}, "user:password@host"),
        ({"url": 7}, "int"),
        ({"url": ""}, "url"),
        ({"url": f"redis://{SECRET}@host"}, "password=..."),
        ({"url": f"redis://{SECRET}@host", "username": "bus"}, "needs a password"),
        ({"username": "bus"}, "needs a password"),
        ({"username": ""}, "not empty"),
        ({"prefix": ""}, "1 to 32 letters"),
        ({"prefix": 7}, "1 to 32 letters"),
        ({"url": "redis://host?partitions=8&partitions=16", "partitions": 8}, "partitions twice"),
        ({"password": b"s3cret"}, "bytes"),
        ({"password": ""}, "password"),
        ({"password": coroutine}, "a plain one"),
        ({"password": "\ud800"}, "surrogate"),
        ({"ca": "ca.pem"}, "rediss://"),
        ({"url": "rediss://host", "client_cert": "cert.pem"}, "set both"),
        ({"url": "rediss://host", "ca": 7}, "path"),
        ({"partitions": 3}, "power of two"),
        ({"partitions": 2048}, "1024"),
        ({"partitions": True}, "count"),
        ({"prefix": "a:b"}, "prefix"),
        ({"max_event_bytes": 100}, "1024"),
        ({"accept_raw": "yes"}, "True or False"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_where_they_are_written(settings, part):
    with pytest.raises(ConfigurationError) as refused:
        Redis(**{"url": "redis://host", **settings})
    assert part in str(refused.value)
    assert SECRET not in str(refused.value)


def test_no_secret_is_shown():
    bus = Redis(f"redis+sentinel://u:{SECRET}@one,two/m?sentinel_password={SECRET}")
    assert repr(bus) == "Redis('redis+sentinel://one,two')"
    bus = Redis(f"redis+sentinel://one/m?sentinel_password=ab@{SECRET}")
    assert repr(bus) == "Redis('redis+sentinel://one')"
    assert SECRET not in repr(Redis("redis://host", password=SECRET))
    assert SECRET not in repr(Redis("redis://host", sentinel_password=SECRET))


@pytest.mark.parametrize("bus", ["redis://127.0.0.1:1", Redis("redis://127.0.0.1:1")])
def test_a_manager_without_subscriptions_is_told_of_publishers(bus):
    with pytest.raises(SchemaError, match=r"SyncPublisher\(bus\)"):
        SubscriptionManager(bus=bus).sdl()
    with pytest.raises(SchemaError) as refused:
        SubscriptionManager().sdl()
    assert "Publisher" not in str(refused.value)
