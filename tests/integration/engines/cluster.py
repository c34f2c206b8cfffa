"""Nodes that serve clients with identities, one of them behind a proxy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from declared import node
from support import eventually
from support.authentication import by_payload
from support.redis_server import RedisServer
from support.tcp_proxy import TcpProxy

from fraiseql_subs import Security, SubscriptionManager


def member(bus: str, name: str, **options: Any) -> SubscriptionManager:
    """Make a node with a name, whose clients say who they are."""
    security = Security(authenticate=by_payload)
    return node(bus, node_name=name, security=security, **options)


async def know_each_other(*managers: SubscriptionManager) -> None:
    """Wait until all nodes know all."""

    async def do() -> bool:
        return all([len(await manager.nodes()) == len(managers) for manager in managers])

    await eventually(do, "all nodes know each other")


def names(nodes: Any) -> list[str]:
    """Return the names of nodes, in order."""
    return sorted(node.name for node in nodes)


@contextlib.asynccontextmanager
async def through_a_proxy(redis: RedisServer) -> AsyncIterator[tuple[TcpProxy, str]]:
    """Run a proxy in front of Redis, and return it with its URL."""
    async with TcpProxy(redis.port) as proxy:
        yield proxy, f"redis://127.0.0.1:{proxy.port}"
