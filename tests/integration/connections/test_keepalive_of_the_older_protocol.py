"""Clients of subscriptions-transport-ws receive either no `ka`, or a regular one."""

from __future__ import annotations

import logging

import pytest
from support import PATIENCE
from support.node import NodeProcess
from support.servers import SERVERS

from fraiseql_subs import Limits, SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")


def patient(keepalive: float | None) -> Limits:
    """Allow for the time that Node.js takes to start on a busy machine."""
    return Limits(keepalive=keepalive, connection_init_timeout=PATIENCE)


@pytest.mark.parametrize("keepalive", [None, 60.0])
@pytest.mark.parametrize("name", ["embedded", "asgi-hypercorn"])
async def test_a_client_without_any_ka_stays_connected(name, keepalive):
    manager = SubscriptionManager([feed], limits=patient(keepalive))
    async with SERVERS[name](manager) as url, NodeProcess.run("keepalive.mjs", url, "200") as node:
        assert await node.read() == {"connected": True}
        assert await node.read() == {"stayed": True}


async def test_a_client_that_received_one_ka_needs_the_next(serve):
    """Shows that the test above could fail."""
    manager = SubscriptionManager([feed], limits=patient(20.0))
    server = await serve(manager)
    async with NodeProcess.run("keepalive.mjs", server.url, "200") as node:
        assert await node.read() == {"connected": True}
        assert await node.read() == {"disconnected": True}


@pytest.mark.parametrize("keepalive", [30.0, 3600])
def test_a_keepalive_that_is_too_long_for_old_clients_causes_a_warning(keepalive, caplog):
    SubscriptionManager([feed], limits=Limits(keepalive=keepalive))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.name == "fraiseql_subs.manager"
    assert f"Limits.keepalive is {keepalive:g} s" in record.getMessage()


@pytest.mark.parametrize("keepalive", [None, 0.5, 12.0, 29.0])
def test_any_other_keepalive_causes_no_warning(keepalive, caplog):
    SubscriptionManager([feed], limits=Limits(keepalive=keepalive))
    assert not caplog.records
