"""How a server without the newest events takes over from one that had them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter

from deployment import Deployment
from support import eventually
from support.redis_server import RedisServer
from support.tcp_proxy import Admission, TcpProxy


def same_run(data: bytes) -> bytes:
    """Replace what tells servers, and each start and promotion of one, from those before."""
    data = re.sub(rb"run_id:[0-9a-f]{40}", b"run_id:" + b"0" * 40, data)
    # Scripts ask for it: they look for something else of the same length.
    return data.replace(b"master_replid:(", b"master_nobody:(")


class Pair:
    """A master and its replica, with a proxy between the two."""

    def __init__(self, master: RedisServer, between: TcpProxy, replica: RedisServer) -> None:
        self.master = master
        self.between = between
        self.replica = replica

    async def separate(self) -> None:
        """Cut the replica off from its master."""
        await self.between.admit(Admission.REFUSE)
        self.between.cut()

    async def promote(self) -> None:
        """Make the replica a master."""
        assert await self.replica.command("REPLICAOF", "NO", "ONE") == "OK"


async def follow(server: RedisServer, port: int) -> None:
    """Make a server the replica of another, and wait until it has its data."""
    assert await server.command("REPLICAOF", "127.0.0.1", str(port)) == "OK"
    await eventually(lambda: _is_in_sync(server), "the replica is in sync")


async def _is_in_sync(server: RedisServer) -> bool:
    return "master_link_status:up" in await server.command("INFO", "replication")


class Takeover(ABC):
    """A way in which it happens. `server` is where programs connect at first."""

    server: RedisServer

    @abstractmethod
    async def begin(self) -> None:
        """From here on, what is published is lost later."""

    @abstractmethod
    async def end(self) -> RedisServer:
        """Lose it; return the server that goes on."""


class Promotion(Takeover):
    """The master ends, and a replica that was cut off from it becomes the master."""

    def __init__(self, pair: Pair) -> None:
        self.server = pair.master
        self._pair = pair

    async def begin(self) -> None:
        await self._pair.separate()

    async def end(self) -> RedisServer:
        await self._pair.master.kill()
        await self._pair.promote()
        return self._pair.replica


class Snapshot(Takeover):
    """The server ends, and starts with what it has saved before."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server

    async def begin(self) -> None:
        assert await self.server.command("SAVE") == "OK"

    async def end(self) -> RedisServer:
        await self.server.kill()
        await self.server.start()
        return self.server


class Return(Takeover):
    """The master becomes the replica of one that was behind, and the master again."""

    def __init__(self, pair: Pair) -> None:
        self.server = pair.master
        self._pair = pair

    async def begin(self) -> None:
        await self._pair.separate()

    async def end(self) -> RedisServer:
        await self._pair.promote()
        await follow(self._pair.master, self._pair.replica.port)
        assert await self._pair.master.command("REPLICAOF", "NO", "ONE") == "OK"
        return self._pair.master


async def take_over(deployment: Deployment, takeover: Takeover, *, is_ahead: bool) -> None:
    """Lose the newest events of each stream while nodes are away.

    Args:
        deployment: What is served by `takeover.server`.
        takeover: How they are lost.
        is_ahead: Whether nodes return once more events were published than were lost, so that the
            newest offset does not tell them.
    """
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await takeover.begin()
    order = deployment.ledger.order
    async with deployment.traffic() as traffic:
        await traffic.accepts(5)
    # Nodes have received what is lost.
    await deployment.settle()
    lost = Counter(entry.stream for entry in deployment.ledger.entries[order:])
    await deployment.hold(deployment.nodes)
    server = await takeover.end()
    for proxy in deployment.proxies:
        proxy.target = server.port
    deployment.publisher_proxy.cut()
    async with deployment.traffic() as traffic:
        if is_ahead:
            await traffic.accepts(max(lost.values()) + 1)
        await deployment.release(deployment.nodes)
        await traffic.accepts()
    await deployment.settle()
