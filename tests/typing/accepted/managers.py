"""Managers, servers, publishers, and subscriptions in process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

from fraiseql_subs import (
    SKIP,
    TLS,
    BusError,
    ClusterConnections,
    ConfigurationError,
    ConnectionInfo,
    Context,
    Disconnected,
    Drain,
    Event,
    ExecutionResult,
    Executor,
    FraiseQLSubsError,
    GraphQLError,
    History,
    Identity,
    Limits,
    ManagerClosed,
    Metrics,
    MetricSample,
    Node,
    PublishError,
    Receipt,
    ResponseHead,
    ResponseHeaders,
    ResponseStream,
    SchemaError,
    Server,
    SubscriptionManager,
    TenantPublisher,
    ValidationError,
    passthrough,
    subscription,
)

SDL = "type Query { ok: Boolean } type Subscription { feed: Int }"


@subscription(channel="number")
def number(event: Event) -> int:
    return SKIP if event.event_type is None else int(event["number"])


def context_of(context: Context) -> dict[str, Any]:
    return {"user": context.value}


def make_manager() -> SubscriptionManager:
    limits = Limits(max_connections=10, max_pending_bytes=1 << 20, slow_consumer="drop_oldest")
    assert_type(limits.keepalive, float | None)
    return SubscriptionManager(
        [passthrough("feed", channel="feed")],
        schema=SDL,
        limits=limits,
        history=History(events=10, seconds=60.0),
        workers=2,
        introspection=False,
        node_name="web-1",
        unready_after=30.0,
        trusted_documents={"1": "{ ok }"},
        context_getter=context_of,
        transports=["graphql-transport-ws", "sse"],
    )


async def serve(manager: SubscriptionManager) -> None:
    tls = TLS(cert=Path("cert.pem"), key=b"key")
    async with manager, manager.serve(port=0, tls=tls, drain=1.0) as server:
        assert_type(server, Server)
        assert_type(server.url, str)
        assert_type(server.http_url, str)
        assert_type(server.port, int)
        assert_type(f"{server.host}{server.path}", str)
        assert_type(server.unix, str | None)
        assert_type(server.publish_url, str | None)
        assert_type(server.publish_path, str | None)
        await server.wait_closed()
        server.close()
    async with manager.serve(
        unix=Path("/run/app.sock"), publish_key="a-key-of-16-or-more", compression=True
    ):
        pass
    await manager.start()
    await manager.close(drain=5)
    await manager.close(drain=Drain(30, ready_delay=5.0, closes_per_second=200))


def run(manager: SubscriptionManager) -> None:
    async def main() -> None:
        await manager.publish("feed", 1)

    manager.run("0.0.0.0", 8000, path="/live", main=main)
    manager.run(reuse_port=True, main=main(), publish_key=["one", "other"], publish_path="/in")


async def publish(manager: SubscriptionManager) -> None:
    receipt = await manager.publish("feed", {"id": 1}, event_type="created", event_id="a")
    assert_type(receipt, Receipt)
    assert_type(receipt.event_id, str)
    assert_type(receipt.offset, int)
    batch = [("feed", 1), {"channel": "feed", "data": 2}]
    assert_type(await manager.publish_many([("feed", 1), ("feed", 2)]), list[Receipt])
    assert_type(await manager.publish_many([{"channel": "feed", "data": 2}]), list[Receipt])
    tenant = manager.for_tenant("acme")
    assert_type(tenant, TenantPublisher)
    assert_type(tenant.tenant_id, str)
    assert_type(await tenant.publish("feed", 1), Receipt)
    assert_type(await tenant.publish_many([("feed", 1)]), list[Receipt])
    # Publishing completes also when no task awaits it.
    task = asyncio.ensure_future(manager.publish("feed", batch))
    assert_type(task.result(), Receipt)


async def subscribe(manager: SubscriptionManager) -> None:
    identity = Identity("ada", tenant_id="acme", roles=["admin"], claims={"team": "red"})
    stream = manager.subscribe("subscription { feed }", {"a": 1}, identity=identity)
    assert_type(stream, ResponseStream)
    async with stream as results:
        async for result in results:
            assert_type(result, ExecutionResult)
            assert_type(result.data, dict[str, Any] | None)
            assert_type(result.errors, list[dict[str, Any]] | None)
            assert_type(result.extensions, dict[str, Any] | None)
            break
    assert_type(await anext(stream), ExecutionResult)
    await stream.aclose()


async def execute(manager: SubscriptionManager) -> None:
    executor = manager.executor
    assert_type(executor, Executor)
    id = await executor.register_subscription("subscription { feed }", identity={"user_id": "ada"})
    assert_type(id, str)
    assert_type(await executor.next_event(id), bytes | None)
    assert_type(await executor.publish_event("feed", 1), Receipt)
    assert_type(await executor.complete_subscription(id), bool)
    assert_type(executor.get_metrics(), Metrics)


def push(samples: Sequence[MetricSample]) -> None:
    for sample in samples:
        assert_type(sample.labels, Mapping[str, str])
        assert_type(sample.buckets, tuple[tuple[float, int], ...])


async def look(manager: SubscriptionManager) -> None:
    assert_type(manager.sdl(), str)
    manager.validate("subscription { orders }")
    assert_type(manager.prometheus(), str)
    assert_type(manager.openmetrics(), str)
    assert_type(manager.samples(), list[MetricSample])
    SubscriptionManager(metrics=push)
    assert_type(manager.metrics(), Metrics)
    assert_type(manager.metrics().connections, int)
    for client in manager.connections():
        assert_type(client, ConnectionInfo)
        assert_type(client.remote_address, str | None)
        if isinstance(client.identity, Identity):
            assert_type(client.identity.expires_at, float | None)
        ended = await manager.disconnect(
            connection_id=client.connection_id, code=4403, reason="Bye"
        )
        assert_type(ended, Disconnected)
        assert_type(ended.closed, int)


async def look_at_all_nodes(manager: SubscriptionManager) -> None:
    assert_type(await manager.nodes(), list[Node])
    ended = await manager.disconnect(identity=Identity("ada"), revoke_for=60, timeout=1.5)
    assert_type(ended.unanswered, tuple[Node, ...])
    for node in ended.answered:
        assert_type((node.id, node.name, node.version), tuple[str, str, str])
        assert_type((node.started_at, node.lag, node.is_live), tuple[float, int, bool])
        assert_type((node.connections, node.subscriptions), tuple[int, int])
    listed = await manager.connections(cluster=True, timeout=1.5)
    assert_type(listed, ClusterConnections)
    assert_type(listed.is_complete, bool)
    for client in listed.connections:
        assert_type(client.node_id, str | None)
    assert_type(manager.is_ready(bus=True), bool)


def answer(context: Context) -> None:
    head = context.response
    assert_type(head, ResponseHead)
    head.status = 401
    head.status_code = None
    assert_type(head.headers, ResponseHeaders)
    head.headers["x-a"] = "1"
    head.headers.append("x-a", "2")
    assert_type(head.headers.multi_items(), list[tuple[str, str]])
    head.set_cookie("session", "1", max_age=60, httponly=True, samesite="strict")
    head.delete_cookie("session")


def errors(manager: SubscriptionManager) -> str:
    try:
        manager.sdl()
    except ValidationError as refused:
        assert_type(refused.errors, list[dict[str, Any]])
    except BusError as failed:
        assert_type(failed.retryable, bool)
    except (ConfigurationError, ManagerClosed, PublishError, SchemaError) as error:
        everything: FraiseQLSubsError = error
        return str(everything)
    with contextlib.suppress(FraiseQLSubsError):
        raise GraphQLError("no", extensions={"code": "NO"})
    return ""
