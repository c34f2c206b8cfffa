"""NATS ends, hangs, or asks its clients to leave (N1), and a node is too slow for it (N2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from promises import check
from support import eventually
from support.nats_server import NatsServer

pytestmark = pytest.mark.faults

JETSTREAM = "nats://127.0.0.1:{port}"
CORE = JETSTREAM + "?history=off"

every_mode = pytest.mark.parametrize("url", [JETSTREAM, CORE], ids=["jetstream", "core"])


@pytest.fixture
async def nats(tmp_path) -> AsyncIterator[NatsServer]:
    async with NatsServer(tmp_path) as server:
        yield server


@pytest.fixture
def deploy(deploy) -> Any:
    return partial(deploy, publish_timeout=20.0)


def check_of(url: str, deployment: Any, *, nothing_missed: bool) -> None:
    """Check the promises.

    Only JetStream has positions, may promise that nothing is missed, and recognizes an event
    that is sent again.
    """
    has_history = url == JETSTREAM
    check(
        deployment,
        nothing_missed=nothing_missed and has_history,
        may_be_refused=not has_history,
        positions_are_shared=has_history,
    )


@every_mode
async def test_without_a_fault_nothing_is_missed(url, nats, deploy):
    deployment = await deploy(nats, url=url)
    async with deployment.traffic() as traffic:
        await traffic.accepts(10)
    await deployment.settle()
    check(deployment, nothing_missed=True, positions_are_shared=url == JETSTREAM)


@every_mode
async def test_nats_is_killed_and_comes_back(url, nats, deploy):
    """N1: JetStream has kept its files."""
    deployment = await deploy(nats, url=url)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await nats.kill()
        await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
        await nats.start()
        await traffic.accepts()
    await deployment.settle()
    check_of(url, deployment, nothing_missed=True)


@every_mode
@pytest.mark.slow_fault
async def test_nats_hangs_until_all_links_are_given_up(url, nats, deploy):
    """N1."""
    deployment = await deploy(nats, url=url)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        nats.pause()
        try:
            for node in deployment.nodes:

                async def is_away(node=node) -> bool:
                    return await node.server.metric("bus_is_live") == 0

                await eventually(is_away, "the node notices it")
        finally:
            nats.resume()
        await traffic.accepts()
    await deployment.settle()
    check_of(url, deployment, nothing_missed=True)


@every_mode
async def test_nats_asks_its_clients_to_leave_and_ends(url, nats, deploy):
    """N1: lame duck mode, of the only server."""
    await nats.kill()
    nats.settings = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"'
    await nats.start()
    deployment = await deploy(nats, url=url)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        nats.end_slowly()
        await traffic.accepts()
        await nats.kill()
        await nats.start()
        await traffic.accepts()
    await deployment.settle()
    check_of(url, deployment, nothing_missed=True)


@every_mode
async def test_links_are_cut_again_and_again(url, nats, deploy):
    deployment = await deploy(nats, url=url)
    async with deployment.traffic() as traffic:
        for _ in range(5):
            for proxy in deployment.proxies:
                proxy.cut()
            await traffic.accepts(1)
    await deployment.settle()
    check_of(url, deployment, nothing_missed=True)


@every_mode
@pytest.mark.slow_fault
async def test_a_node_that_stands_still_is_cut_off_by_nats(url, nats, deploy):
    """N2: others go on, and the node reads what it has missed, or tells it."""
    await nats.kill()
    nats.settings = 'write_deadline: "1s"\nmax_pending: 1048576'
    await nats.start()
    deployment = await deploy(nats, url=url)
    node, *_ = deployment.nodes
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        deployment.suspend(node)
        try:
            for _ in range(40):
                await deployment.manager.publish("filling", "x" * 100_000, tenant_id="acme")
            await traffic.accepts(10)
        finally:
            deployment.go_on(node)
        await traffic.accepts()
    await deployment.settle()
    check_of(url, deployment, nothing_missed=True)
