"""Mistakes in declarations and resolvers; the message about a line follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fraiseql_subs import ID, Call, Event, computed_field, passthrough, subscription


@dataclass
class Order:
    id: ID

    @computed_field
    def label(self) -> str:
        return f"#{self.id}"


@subscription(channel=1)  # error: No overload variant of "subscription"
async def channel_of_no_text(event: Event) -> int:
    return event.data


@subscription(chanel="orders")  # error: "chanel"
async def misspelled_option(event: Event) -> int:
    return event.data


@subscription(channel="orders", timeout="30")  # error: No overload variant of "subscription"
async def timeout_of_text(event: Event) -> int:
    return event.data


@subscription(channel="orders", initial=1)  # error: No overload variant of "subscription"
async def initial_that_is_no_function(event: Event) -> int:
    return event.data


@subscription(channel="orders")
async def wrong_result(event: Event) -> Order:
    return event.channel  # error: Incompatible return value type (got "str", expected "Order")


@subscription(channel="orders")
async def wrong_offset(event: Event) -> str:
    return event.offset  # error: Incompatible return value type (got "int", expected "str")


@subscription
async def wrong_yield() -> AsyncIterator[int]:
    yield "1"  # error: "yield"


@subscription(channel="orders")
async def no_attribute_of_events(event: Event) -> str:
    return event.status  # error: has no attribute "status"


@subscription(channel="orders")
async def changed_event(event: Event) -> int:
    event["status"] = "paid"  # error: Unsupported target for indexed assignment
    return 1


@subscription(channel="orders")
async def changed_data(event: Event) -> int:
    event.data = {}  # error: Property "data" defined in "Event" is read-only
    return 1


@subscription(channel="orders")
async def unchecked_event_type(event: Event) -> int:
    return len(event.event_type)  # error: Argument 1 to "len"


def wrong_label(order: Order) -> int:
    return order.label  # error: Incompatible return value type (got "str", expected "int")


def wrong_id(text: str) -> Order:
    return Order(text)  # error: expected "ID"


@subscription(channel="orders", batch="yes")  # error: No overload variant of "subscription"
async def wrong_batch(calls: list[Call]) -> list[int]:
    return [call.data for call in calls]  # error: "Call[dict[str, Any]]" has no attribute


@subscription(channel="orders", batch=True)  # error: Value of type variable
async def event_of_a_batch(event: Event) -> list[int]:
    return []


@subscription(channel="orders", batch=True)  # error: Value of type variable
async def batch_of_no_list(calls: list[Call]) -> Order:
    return Order(ID("1"))


@subscription(channel="orders", arguments={"id": int})  # error: No overload variant
async def arguments_of_no_batch(event: Event) -> int:
    return 1


passthrough("feed", int)  # error: Missing named argument "channel"
passthrough("feed", int, channel="feed", shared=True)  # error: "shared"


async def wrong_use(event: Event) -> None:
    await wrong_offset()  # error: Missing positional argument "event"
    number: int = await wrong_offset(event)  # error: Incompatible types in assignment
    print(number)
