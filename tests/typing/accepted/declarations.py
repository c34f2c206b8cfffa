"""Decorators, resolver signatures, markers, and the data of events."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from typing_extensions import assert_type

from fraiseql_subs import (
    ID,
    SKIP,
    Call,
    Context,
    Deprecated,
    Event,
    GraphQLError,
    Identity,
    Name,
    Scalar,
    Skip,
    Snapshot,
    SubscriptionManager,
    computed_field,
    passthrough,
    subscription,
)

Base64 = Annotated[bytes, Scalar("Base64", serialize=base64.b64encode, parse=base64.b64decode)]


@dataclass
class Order:
    id: ID
    total: float
    picture: Base64
    note: Annotated[str | None, Deprecated("use comments")] = None
    state: Annotated[str, Name("status")] = "new"

    @computed_field
    def label(self) -> str:
        return f"#{self.id}"


class OrderVariables(TypedDict):
    userId: str


@subscription(channel="orders.{userId}", event_types=["created"], filter={"user_id": "$userId"})
async def order(event: Event, *, user_id: ID, at_least: float = 0.0) -> Order:
    if event["total"] < at_least:
        return SKIP
    return Order(ID(event["id"]), event.data["total"], b"")


@subscription(channel="orders", concurrency=8, timeout=None, name="totals", description="Totals")
def total(event: Event, context: Context, variables: OrderVariables) -> float | Skip:
    assert_type(variables["userId"], str)
    return SKIP if context.connection_id is None else float(event["total"])


@subscription(channel="orders", shared=True)
async def shared(event: Event) -> dict[str, int]:
    return event.data


@subscription(channel="orders.{userId}", batch=True, arguments={"userId": str}, concurrency=2)
async def batched(calls: list[Call]) -> list[int | Exception]:
    assert_type(calls[0].event, Event)
    assert_type(calls[0].context, Context)
    return [SKIP, GraphQLError("none"), *(call.variables["userId"] for call in calls)]


@subscription(channel="orders.{userId}", batch=True, arguments=OrderVariables)
async def batched_with_keys(calls: list[Call[OrderVariables]]) -> list[str]:
    return [call.variables["userId"] for call in calls]


@dataclass
class Paging:
    size: int = 20


@subscription(channel="orders", batch=True, arguments=Paging)
async def batched_with_defaults(calls: list[Call[Paging]]) -> list[int | BaseException]:
    assert_type(calls[0].variables, Paging)
    return [call.variables.size for call in calls]


@subscription(channel="orders", batch=True)
async def batched_untyped(calls):  # type: ignore[no-untyped-def]
    return [1 for _ in calls]


@subscription(channel="orders", batch=True)
def batched_plainly(calls: Sequence[Call]) -> Sequence[int]:
    return [SKIP if call.event.channel == "x" else call.event["id"] for call in calls]


call = Call(Event({"id": 1}), {"userId": "x"}, Context())
paging = Call(Event({"id": 1}), Paging(size=5))
bare = Call(Event({"id": 1}))


async def check_batches() -> None:
    await batched([call, bare, Call(Event(1), {"userId": "x"})])
    await batched_with_defaults([paging])


async def initial(context: Context) -> int:
    if not isinstance(context.identity, Identity):
        raise GraphQLError("log in first", extensions={"code": "UNAUTHENTICATED"})
    return len(context.identity.roles)


@subscription(channel="roles", initial=initial)
async def roles(event: Event) -> int:
    return event.data


async def totals_now(*, customer: int) -> Snapshot[list[float]]:
    state = Snapshot([1.5], at="10:20:12,13")
    assert_type(state.value, list[float])
    assert_type(state.at, str)
    return state


@subscription(channel="orders.{customer}", initial=totals_now)
async def totals(event: Event, *, customer: int) -> list[float]:
    return [event["total"]]


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


feed = passthrough(
    "feed", list[Order], channel="feed.{user}", arguments={"user": str}, filter={"user": "$user"}
)
typeless = passthrough("typeless", channel="feed", event_types={"created"}, description="Any")

manager = SubscriptionManager(
    [order, total, shared, batched, batched_plainly, roles, countdown, feed]
)


@manager.subscription(channel="late")
async def late(event: Event) -> str:
    return event.channel


async def check(event: Event, placed: Order) -> None:
    """A declared function stays what it is, and an event has its types."""
    assert_type(await order(event, user_id=ID("7")), Order)
    assert_type(await late(event), str)
    assert_type(countdown(start=3), AsyncIterator[int])
    assert_type(placed.label, str)
    assert_type(event.id, str)
    assert_type(event.offset, int)
    assert_type(event.channel, str)
    assert_type(event.event_type, str | None)
    assert_type(event.tenant_id, str | None)
    line: str = event["status"]
    total: float = event["lines"][0].total * 2
    names: list[str] = [*event.keys()]
    values: list[object] = [*event.values(), *(value for _, value in event.items())]
    number: int = event.get("number", 1)
    text: str = event.data
    print(line, total, names, values, number, text, len(event), "status" in event)


decorated: Callable[..., Any] = subscription(channel="orders")(check)
