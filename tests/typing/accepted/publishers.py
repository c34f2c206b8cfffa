"""Programs that publish and serve nothing."""

from __future__ import annotations

from typing import Literal

from fraiseql_subs import (
    History,
    Publisher,
    PublishError,
    SyncPublisher,
    TenantIsolation,
)


async def publish() -> str | None:
    async with Publisher("redis://127.0.0.1", publish_timeout=1.0) as publisher:
        receipt = await publisher.publish("orders", {"id": 1}, event_id="order-1")
        receipts = await publisher.publish_many([("orders", 1), {"channel": "orders", "data": 2}])
        await publisher.close()
    offset: int = receipts[0].offset
    return receipt.position if offset else None


def publish_and_wait() -> Literal["not_sent", "unknown"] | None:
    publisher = SyncPublisher(
        "redis://127.0.0.1",
        history=History(events=10),
        tenant=TenantIsolation(),
        on_unavailable="fail",
    )
    with publisher:
        try:
            publisher.publish("orders", {"id": 1}, tenant_id="acme")
        except PublishError as error:
            retryable: bool = error.retryable
            return error.outcome if retryable else None
    publisher.close()
    return None
