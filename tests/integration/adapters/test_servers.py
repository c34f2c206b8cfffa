"""Managers behind every server: back-pressure and origins.

The rules of the protocols are in `tests/conformance`, which runs over the same servers.
"""

from __future__ import annotations

import pytest
from support.progress import clients_left, disconnect_slow_consumer, settled
from support.protocol_client import ProtocolClient
from support.servers import SERVERS, custom
from websockets.exceptions import InvalidStatus

from fraiseql_subs import Limits, Security, SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")
blob = passthrough("blob", str, channel="blob")

EVERY = {**SERVERS, "custom": custom}


@pytest.mark.parametrize("name", EVERY)
async def test_a_client_that_never_reads_is_disconnected_and_affects_no_other(name):
    limits = Limits(max_pending_bytes=200_000)
    manager = SubscriptionManager([blob, feed], limits=limits)
    async with EVERY[name](manager) as url:
        options = {"max_queue": 1, "ping_interval": None}
        deaf = await ProtocolClient.connect(url, **options)
        await deaf.init()
        await deaf.subscribe("subscription { blob }")
        healthy = await ProtocolClient.connect(url)
        await healthy.init()
        await healthy.subscribe("subscription { feed }")
        await disconnect_slow_consumer(manager, "blob", "x" * 50_000)
        await manager.publish("feed", 1)
        assert await healthy.receive_data() == {"feed": 1}
        await clients_left(manager, 1)
        deaf.socket.transport.abort()
        await healthy.close()
        await settled(manager)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "embedded"])
async def test_a_page_of_another_origin_is_refused(name):
    security = Security(origins=["https://app.example.com"])
    async with EVERY[name](SubscriptionManager([feed], security=security)) as url:
        with pytest.raises(InvalidStatus) as refused:
            await ProtocolClient.connect(url, origin="https://evil.example")
        assert refused.value.response.status_code == 403
        client = await ProtocolClient.connect(url, origin="https://app.example.com")
        await client.init()
        await client.close()
