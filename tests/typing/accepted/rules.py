"""Authentication and security rules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from typing_extensions import assert_type

from fraiseql_subs import (
    JWT,
    RBAC,
    Accepted,
    ConnectionParams,
    Federation,
    Identity,
    Rates,
    RowFilter,
    Scope,
    Security,
    SubscriptionManager,
    TenantIsolation,
)


async def identity(params: ConnectionParams) -> Identity | None:
    assert_type(params.headers["authorization"], str)
    assert_type(params.remote_address, str | None)
    assert_type(params.query.get("token"), str | None)
    assert_type(params.in_process, bool)
    user = (params.payload or {}).get("user")
    return None if user is None else Identity(user)


async def mapping(params: ConnectionParams) -> dict[str, Any]:
    return {"user_id": params.connection_id}


async def accepted(params: ConnectionParams) -> Accepted:
    return Accepted(params.identity, ack_payload={"hello": True})


class Hook:
    async def __call__(self, params: ConnectionParams) -> Identity:
        return Identity("ada")


HOOKS: list[Callable[[ConnectionParams], Awaitable[Any]]] = [identity, mapping, accepted, Hook()]

security = Security(
    authenticate=identity,
    jwt=JWT(key="secret", algorithms=["HS256"], audience=["app"], leeway=0, cookie="session"),
    tenant=TenantIsolation(),
    rows=[RowFilter("orders", {"user_id": "$identity.user_id"}, unless="admin")],
    scope=Scope({"userId": "$identity.user_id"}, unless=["admin", "support"]),
    rbac=RBAC({"Order.total": "orders.read"}, on_denied="null"),
    federation=Federation("orders", channels=["orders"]),
    rates=Rates(subscribes="10/minute", per="address"),
    origins=["https://app.example.com"],
    hosts=["app.example.com"],
)
managers = [SubscriptionManager(security=Security(authenticate=hook)) for hook in HOOKS]
managers += [
    SubscriptionManager(security=Security(authenticate=mapping, tenant=TenantIsolation(None))),
    SubscriptionManager(security=Security(authenticate=accepted)),
    SubscriptionManager(security=Security(authenticate=Hook())),
]
