"""A manager with rates, operations of every kind, and clients with addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import strawberry
from support.urls import http_url
from ways_in import PAGE, open_http

from fraiseql_subs import (
    ConnectionParams,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)


@strawberry.type
class Query:
    ok: bool = True


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def numbers(self) -> AsyncIterator[int]:
        yield 1

    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


OPERATIONS: dict[str, dict[str, Any]] = {
    "query": {"query": "{ ok }"},
    "introspection": {"query": "{ __typename }"},
    "mutation": {"query": "mutation { change }"},
    "subscription": {"query": "subscription { ticks }"},
    "source stream": {"query": "subscription { numbers }"},
    "no document": {"query": "{{{"},
    "refused by the executor": {"query": "{ unknown }"},
    "two operations": {"query": "query A { ok } query B { ok }"},
    "unknown hash": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
    "unknown id": {"documentId": "unknown"},
}


TICKS = OPERATIONS["subscription"]


async def authenticate(params: ConnectionParams) -> Identity | None:
    user = (params.payload or {}).get("user") or params.headers.get("authorization", "ada")
    return None if user == "mallory" else Identity(user)


def make_manager(*, known: bool = True, given: bool = True, **rates: Any) -> SubscriptionManager:
    security = Security(
        authenticate=authenticate if known else None, origins=[PAGE], rates=Rates(**rates)
    )
    ticks = passthrough("ticks", int, channel="ticks")
    schema = strawberry.Schema(Query, Mutation, Subscription) if given else None
    return SubscriptionManager([ticks], schema=schema, security=security)


def client_at(address: str, user: str = "ada") -> httpx.AsyncClient:
    return open_http(user, transport=httpx.AsyncHTTPTransport(local_address=address))


async def statuses(client: httpx.AsyncClient, url: str, count: int) -> list[int]:
    posted = [await client.post(http_url(url), json=OPERATIONS["query"]) for _ in range(count)]
    return [response.status_code for response in posted]
