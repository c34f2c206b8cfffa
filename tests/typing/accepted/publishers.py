"""Programs that publish and serve nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fraiseql_subs import (
    History,
    Nats,
    Postgres,
    Publisher,
    PublishError,
    Receipt,
    Redis,
    SubscriptionManager,
    SyncPublisher,
    Table,
    TenantIsolation,
    channel_name,
)


async def publish() -> str | None:
    async with Publisher("redis://127.0.0.1", publish_timeout=1.0) as publisher:
        receipt = await publisher.publish("orders", {"id": 1}, event_id="order-1")
        receipts = await publisher.publish_many([("orders", 1), {"channel": "orders", "data": 2}])
        await publisher.publish_json("orders", b'{"id": 3}', tenant_id="acme")
        await publisher.publish(channel_name("orders.{id}", {"id": 1}), {"id": 1})
        await publisher.close()
    offset: int = receipts[0].offset
    return receipt.position if offset else None


def password() -> str:
    return Path("/run/secrets/redis").read_text().strip()


def with_more_than_a_url() -> SubscriptionManager:
    bus = Redis(
        "rediss://redis.internal",
        username="bus",
        password=password,
        ca=Path("ca.pem"),
        client_cert="cert.pem",
        client_key="key.pem",
        partitions=64,
        prefix="shop",
        max_event_bytes=1 << 20,
        accept_raw=True,
    )
    with SyncPublisher(bus) as publisher:
        publisher.publish("orders", {"id": 1})
    return SubscriptionManager(bus=Redis(bus.url, password="secret"))


def over_nats() -> SubscriptionManager:
    bus = Nats(
        "tls://nats-1,nats-2",
        username="bus",
        password=password,
        ca=Path("ca.pem"),
        client_cert="cert.pem",
        client_key="key.pem",
        partitions=2,
        replicas=3,
        max_bytes=1 << 30,
        prefix="shop",
        max_event_bytes=1 << 20,
        accept_raw=True,
    )
    with SyncPublisher(Nats(bus.url, token=password)) as publisher:
        publisher.publish("orders", {"id": 1})
    others = [Nats(bus.url, credentials=Path("bus.creds")), Nats(bus.url, nkey="seed")]
    return SubscriptionManager(bus=others[0])


async def over_postgres(connection: object) -> SubscriptionManager:
    orders = Table(
        "public.orders", channel="orders.{id}", events=("insert", "update"), tenant="tenant_id"
    )
    bus = Postgres(
        "postgresql://bus@127.0.0.1/shop",
        username="bus",
        password=password,
        ca=Path("ca.pem"),
        client_cert="cert.pem",
        client_key="key.pem",
        max_event_bytes=1 << 20,
        tables=[orders],
    )
    with SyncPublisher(bus) as publisher:
        publisher.publish("orders", {"id": 1}, connection=connection)
    async with Publisher(bus.url) as other:
        await other.publish("orders", {"id": 1}, connection=connection)
    manager = SubscriptionManager(bus=bus)
    receipt: Receipt = await manager.publish("orders", {"id": 1}, connection=connection)
    await manager.for_tenant(receipt.event_id).publish("orders", 1, connection=connection)
    return manager


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
