"""Messages between a WebSocket adapter and the core."""

from __future__ import annotations

import asyncio
import json

from support import eventually
from support.progress import settled

from fraiseql_subs import SubscriptionManager, passthrough
from fraiseql_subs.adapters._tasks import Peer


async def test_many_messages_cross_into_python_at_once():
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    async with manager:
        connection = manager._core.connect(["graphql-transport-ws"], Peer())
        connection.receive_text('{"type":"connection_init"}')
        request = {"type": "subscribe", "id": "1", "payload": {"query": "subscription { feed }"}}
        connection.receive_text(json.dumps(request))
        while isinstance(batch := connection.take(), asyncio.Future):
            await batch
        assert batch == [b'{"type":"connection_ack"}']
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish_many([("feed", number) for number in range(64)])
        sizes, received = [], 0
        while received < 64:
            batch = connection.take()
            if isinstance(batch, asyncio.Future):
                await batch
                continue
            received += len(batch)
            sizes.append(len(batch))
        assert len(sizes) <= 4
        connection.closed()
        await settled(manager)
