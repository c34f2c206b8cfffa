"""Mistakes with managers and servers; the message about a line follows it."""

from __future__ import annotations

from fraiseql_subs import (
    JWT,
    RBAC,
    TLS,
    Accepted,
    ConnectionParams,
    History,
    Identity,
    Limits,
    Rates,
    Security,
    SubscriptionManager,
)
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.websocket import WebSocketAdapter

manager = SubscriptionManager()

SubscriptionManager(workers="2")  # error: "workers" to "SubscriptionManager"
SubscriptionManager(limits={"max_depth": 3})  # error: "limits" to "SubscriptionManager"
SubscriptionManager(transports=["websocket"])  # error: List item 0
SubscriptionManager(introspect=False)  # error: "introspect"
Limits(10)  # error: Too many positional arguments
Limits(slow_consumer="ignore")  # error: "slow_consumer" to "Limits"
History(100)  # error: Too many positional arguments
TLS(cert="cert.pem")  # error: Missing named argument "key"
JWT(key="secret")  # error: Missing named argument "algorithms"
RBAC(on_denied="close")  # error: "on_denied" to "RBAC"
Rates(per="user")  # error: "per" to "Rates"
GraphQLApp(manager.executor)  # error: Argument 1 to "GraphQLApp"
Identity(7)  # error: Argument 1 to "Identity"
Identity("ada").user_id = "eve"  # error: Property "user_id" defined in "Identity" is read-only
WebSocketAdapter()  # error: Cannot instantiate abstract class "WebSocketAdapter"


def not_async(params: ConnectionParams) -> Identity:
    return Identity("ada")


async def accepts_a_text(params: ConnectionParams) -> str:
    return "ada"


async def without_parameters() -> Accepted:
    return Accepted()


Security(authenticate=not_async)  # error: "authenticate" to "Security"
Security(authenticate=accepts_a_text)  # error: "authenticate" to "Security"
Security(authenticate=without_parameters)  # error: "authenticate" to "Security"
manager.run(main=not_async)  # error: "main" to "run"


async def use() -> None:
    manager.close()  # error: Value of type "Coroutine[Any, Any, None]" must be used
    print((await manager.publish("feed", 1)).id)  # error: "Receipt" has no attribute "id"
    await manager.publish("feed")  # error: No overload variant of "publish"
    await manager.publish("feed", 1, tenant="acme")  # error: "tenant"
    await manager.for_tenant("acme").publish("feed", 1, tenant_id="b")  # error: "tenant_id"
    await manager.publish_many(["feed"])  # error: List item 0
    with manager.serve():  # error: "Server" has no attribute "__enter__"
        pass
    async with manager.serve(port="8000") as server:  # error: "port" to "serve"
        server.url = "ws://other"  # error: Property "url" defined in "Server" is read-only
    for _ in manager.subscribe("subscription { feed }"):  # error: not iterable
        pass
    async for result in manager.subscribe("subscription { feed }"):
        print(result.data["feed"])  # error: Value of type "dict[str, Any] | None" is not indexable
        print(result.error)  # error: "ExecutionResult" has no attribute "error"
    text: str = await manager.executor.next_event("1")  # error: Incompatible types in assignment
    manager.metrics().connections += 1  # error: Property "connections"
    print(text)
