"""Sentinels name another master: nodes find it, however often they fail on the way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from deployment import Deployment
from promises import check
from support import eventually
from support.redis_sentinel import MASTER, RedisSentinel
from support.redis_server import RedisServer
from support.tcp_proxy import Admission, TcpProxy
from takeover import follow

pytestmark = pytest.mark.faults

SENTINELS = 3

SETTINGS = (
    f"sentinel down-after-milliseconds {MASTER} 2000",
    f"sentinel failover-timeout {MASTER} 10000",
)


@dataclass
class Guarded:
    """A master and its replica, each behind a proxy, and the sentinels that watch them.

    Attributes:
        at_master: The proxy by which all reach the master of the beginning.
        at_replica: That of the other server.
        sentinels: The three.
        at_sentinels: The proxies of the second and third; programs have their own to the first.
    """

    master: RedisServer
    replica: RedisServer
    at_master: TcpProxy
    at_replica: TcpProxy
    sentinels: list[RedisSentinel]
    at_sentinels: list[TcpProxy]

    @property
    def url(self) -> str:
        """What `Deployment` makes the URL of each program of."""
        hosts = ["127.0.0.1:{port}", *(f"127.0.0.1:{proxy.port}" for proxy in self.at_sentinels)]
        return f"redis+sentinel://{','.join(hosts)}/{MASTER}"

    async def has_moved(self) -> bool:
        """Tell whether all sentinels watch the other server as the master, and reach it."""
        states = [await sentinel.master() for sentinel in self.sentinels]
        return all(
            (state["port"], state["flags"]) == (str(self.at_replica.port), "master")
            for state in states
        )

    async def admit(self, deployment: Deployment, admission: Admission) -> None:
        """Decide what happens to programs that ask sentinels."""
        for proxy in [*deployment.proxies, *self.at_sentinels]:
            await proxy.admit(admission)


@pytest.fixture
async def guarded(start_redis, stack, tmp_path) -> Guarded:
    proxies = [await stack.enter_async_context(TcpProxy(0)) for _ in range(2)]
    servers = []
    for proxy in proxies:
        # What is told of them, by each other and by sentinels.
        server = await start_redis(
            replica_announce_ip="127.0.0.1",
            replica_announce_port=str(proxy.port),
            repl_diskless_sync_delay="0",
        )
        proxy.target = server.port
        servers.append(server)
    await follow(servers[1], proxies[0].port)
    sentinels = []
    for number in range(SENTINELS):
        folder = tmp_path / f"sentinel-{number}"
        folder.mkdir()
        sentinel = RedisSentinel(folder, proxies[0].port, quorum=2, settings=SETTINGS)
        sentinels.append(await stack.enter_async_context(sentinel))

    async def know_each_other() -> bool:
        usable = [await sentinel.usable() for sentinel in sentinels]
        states = [await sentinel.master() for sentinel in sentinels]
        return usable == [SENTINELS] * SENTINELS and {s["num-slaves"] for s in states} == {"1"}

    await eventually(know_each_other, "sentinels know each other and the replica")
    at_sentinels = [
        await stack.enter_async_context(TcpProxy(sentinel.port)) for sentinel in sentinels[1:]
    ]
    return Guarded(*servers, *proxies, sentinels, at_sentinels)


@pytest.mark.parametrize("end", ["is killed", pytest.param("hangs", marks=pytest.mark.slow_fault)])
async def test_sentinels_name_another_master(guarded, deploy, end):
    """R10: nodes go there, and stay there when the master of before comes back."""
    deployment = await deploy(guarded.sentinels[0], url=guarded.url, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        if end == "is killed":
            await guarded.master.kill()
        else:
            guarded.master.pause()
        try:
            await eventually(guarded.has_moved, "sentinels name the other server")
            await traffic.accepts()
        finally:
            if end == "is killed":
                await guarded.master.start()
            else:
                guarded.master.resume()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    assert all(one.missed >= 1 for one in deployment.observations)
    for node in deployment.nodes:
        assert node.server.serves(guarded.at_replica.port)


@pytest.mark.slow_fault
async def test_the_first_dials_to_the_new_master_are_refused(guarded, deploy):
    """R10: a link that could not be made is tried again, for subscribers as well."""
    deployment = await deploy(guarded.sentinels[0], url=guarded.url, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await guarded.admit(deployment, Admission.REFUSE)
        await guarded.master.kill()
        await eventually(guarded.has_moved, "sentinels name the other server")
        await guarded.at_replica.admit(Admission.REFUSE)
        attempts = [proxy.attempts for proxy in deployment.proxies]
        await guarded.admit(deployment, Admission.PASS)

        def have_dialled() -> bool:
            # Each of three links asks the sentinels before each attempt.
            pairs = zip(deployment.proxies, attempts, strict=True)
            return all(proxy.attempts >= before + 6 for proxy, before in pairs)

        await eventually(have_dialled, "each program is refused by the new master")
        await guarded.at_replica.admit(Admission.PASS)
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    assert all(one.missed >= 1 for one in deployment.observations)


async def test_a_minority_of_sentinels_names_a_server_that_is_no_master(guarded, deploy):
    """R10: two of three know nothing of the master any more; the server itself is asked."""
    deployment = await deploy(guarded.sentinels[0], url=guarded.url)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await asyncio.gather(*(sentinel.kill() for sentinel in guarded.sentinels[1:]))
        guarded.at_master.cut()
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)
