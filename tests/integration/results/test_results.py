"""What a client receives: selections, types, nulls, operations of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, TypedDict
from uuid import UUID

import pydantic
import pytest

from fraiseql_subs import (
    ID,
    SKIP,
    Context,
    Event,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)


class Status(Enum):
    NEW = "new"
    PAID = "paid"


@dataclass
class Customer:
    name: str
    email: str | None = None


class Item(TypedDict):
    sku: str
    unit_price: float


class Address(pydantic.BaseModel):
    city: str
    zip_code: str = pydantic.Field(alias="zipCode")


@dataclass
class Order:
    id: ID
    status: Status
    customer: Customer
    items: list[Item]
    address: Address | None = None
    total: Decimal | None = None
    created_at: datetime | None = None
    key: UUID | None = None
    tags: list[str] | None = None


ORDER = Order(
    id=ID("7"),
    status=Status.PAID,
    customer=Customer("Ada"),
    items=[{"sku": "a", "unit_price": 1.5}, {"sku": "b", "unit_price": 2.0}],
    address=Address(city="Oslo", zipCode="0150"),
    total=Decimal("3.50"),
    created_at=datetime(2024, 1, 31, 12, tzinfo=timezone.utc),
    key=UUID(int=1),
    tags=["x"],
)


@subscription(channel="orders")
async def order_updated(event: Event) -> Order:
    """An order has changed."""
    return ORDER if event.data is None else event.data


order_feed = passthrough("orderFeed", Order, channel="orders")


async def first(document: str, data: Any = None, **options: Any) -> Any:
    """Return the result of the first event."""
    manager = SubscriptionManager([order_updated, order_feed])
    async with manager, manager.subscribe(document, **options) as stream:
        await manager.publish("orders", data)
        return await anext(stream)


async def test_python_objects_of_every_kind_are_read_by_their_hints():
    result = await first(
        "subscription { orderUpdated { id status customer { name email } items { sku unitPrice }"
        " address { city zipCode } total createdAt key tags __typename } }"
    )
    assert result.errors is None
    assert result.data == {
        "orderUpdated": {
            "id": "7",
            "status": "PAID",
            "customer": {"name": "Ada", "email": None},
            "items": [{"sku": "a", "unitPrice": 1.5}, {"sku": "b", "unitPrice": 2}],
            "address": {"city": "Oslo", "zipCode": "0150"},
            "total": "3.50",
            "createdAt": "2024-01-31T12:00:00+00:00",
            "key": "00000000-0000-0000-0000-000000000001",
            "tags": ["x"],
            "__typename": "Order",
        }
    }


@pytest.mark.parametrize("field", ["orderUpdated", "orderFeed"])
async def test_events_published_as_objects_and_as_dicts_give_the_same(field):
    document = (
        f"subscription {{ {field} {{ id status items {{ unitPrice }} address {{ zipCode }} }} }}"
    )
    as_dict = {
        "id": 7,
        "status": "paid",
        "items": [{"sku": "a", "unit_price": 1.5}, {"sku": "b", "unit_price": 2.0}],
        "address": {"city": "Oslo", "zip_code": "0150"},
        "customer": {"name": "Ada"},
    }
    assert await first(document, ORDER) == await first(document, as_dict)


async def test_aliases_fragments_and_directives_shape_the_result():
    result = await first(
        """
        subscription ($hide: Boolean!) {
            order: orderUpdated {
                ...Head
                c: customer { n: name email @skip(if: $hide) }
                ... on Order @include(if: $hide) { status }
                ... @include(if: false) { total }
                customer { m: name }
            }
        }
        fragment Head on Order { number: id }
        """,
        variables={"hide": True},
    )
    assert list(result.data["order"]) == ["number", "c", "status", "customer"]
    assert result.data["order"]["c"] == {"n": "Ada"}
    assert result.data["order"]["customer"] == {"m": "Ada"}


async def test_a_null_rises_to_the_next_nullable_field_and_says_where():
    data = {
        "id": 1,
        "status": "new",
        "customer": {"name": "A"},
        "items": [{"sku": "a", "unit_price": 1}, {"sku": None}],
    }
    result = await first("subscription { orderFeed { id items { sku } } }", data)
    assert result.data is None
    (error,) = result.errors
    assert error["path"] == ["orderFeed", "items", 1, "sku"]
    assert error["locations"] == [{"line": 1, "column": 39}]


SHAPES = """
    type Query { ok: Boolean }
    interface Shape { name: String! }
    type Circle implements Shape { name: String! radius: Float! }
    type Square implements Shape { name: String! side: Float! }
    union Found = Circle | Square
    type Subscription { shape: Shape found: [Found!] }
"""


async def test_interfaces_and_unions_go_by_typename_or_class():
    @dataclass
    class Circle:
        name: str
        radius: float

    @subscription(channel="found")
    def found(event) -> Any:
        return [Circle("c", 1.5), {"__typename": "Square", "name": "s", "side": 2}]

    manager = SubscriptionManager([passthrough("shape", channel="shape"), found], schema=SHAPES)
    async with manager:
        async with manager.subscribe(
            "subscription { shape { __typename name ... on Square { side } } }"
        ) as stream:
            await manager.publish("shape", {"__typename": "Square", "name": "s", "side": 2})
            data = (await anext(stream)).data
            assert data == {"shape": {"__typename": "Square", "name": "s", "side": 2}}
            await manager.publish("shape", {"name": "s"})
            result = await anext(stream)
            assert result.data == {"shape": None}
            assert result.errors[0]["message"].startswith('Abstract type "Shape" must resolve')
        async with manager.subscribe(
            "subscription { found { ... on Shape { name } ... on Circle { radius } } }"
        ) as stream:
            await manager.publish("found", 1)
            data = (await anext(stream)).data
            assert data == {"found": [{"name": "c", "radius": 1.5}, {"name": "s"}]}


async def test_skip_sends_nothing_for_an_event():
    @subscription(channel="numbers")
    def odd(event) -> int:
        return event.data if event.data % 2 else SKIP

    manager = SubscriptionManager([odd])
    async with manager, manager.subscribe("subscription { odd }") as stream:
        await manager.publish_many([("numbers", number) for number in range(6)])
        assert [(await anext(stream)).data["odd"] for _ in range(3)] == [1, 3, 5]


async def test_an_event_is_a_mapping_of_its_data_and_has_its_envelope():
    seen: dict[str, Any] = {}

    @subscription(channel="orders")
    async def order(event: Event, variables: dict, context: Context, *, word: str = "x") -> int:
        seen.update(event=event, variables=variables, context=context, word=word)
        return event["id"]

    manager = SubscriptionManager([order])
    async with manager, manager.subscribe("subscription Mine { order }", context="ctx") as stream:
        data = {"id": 5, "deep": {"a": [1]}}
        receipt = await manager.publish(
            "orders", data, event_type="order.new", tenant_id="t", event_id="mine"
        )
        assert (await anext(stream)).data == {"order": 5}
    event = seen["event"]
    assert (event.id, event.offset) == (receipt.event_id, receipt.offset) == ("mine", 1)
    assert (event.channel, event.event_type, event.tenant_id) == ("orders", "order.new", "t")
    assert event.data == data and dict(event) == data and event.data is event.data
    assert event["deep"] == {"a": [1]} and event.get("none", 3) == 3 and "id" in event
    assert len(event) == 2
    with pytest.raises(KeyError, match="none"):
        event["none"]
    assert seen["variables"] == {"word": "x"} and seen["word"] == "x"
    context = seen["context"]
    assert (context.value, context.operation_name) == ("ctx", "Mine")
    assert context.connection_id is None and context.identity is None


async def test_introspection_and_queries_are_answered_over_the_socket(serve, connect):
    manager = SubscriptionManager([order_updated])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(
        '{ __schema { subscriptionType { fields { name description } } } __type(name: "Status")'
        " { enumValues { name } } }"
    )
    data = await client.receive_data(id)
    (field,) = data["__schema"]["subscriptionType"]["fields"]
    assert field == {"name": "orderUpdated", "description": "An order has changed."}
    assert data["__type"]["enumValues"] == [{"name": "NEW"}, {"name": "PAID"}]
    assert await client.receive() == {"id": id, "type": "complete"}


async def test_one_of_several_operations_is_chosen_by_name(serve, connect):
    document = """
        subscription A { orderFeed { id } }
        subscription B { b: orderFeed { id } }
    """
    manager = SubscriptionManager([order_feed])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(document, operation_name="B")
    await manager.publish("orders", {"id": 1})
    assert await client.receive_data(id) == {"b": {"id": "1"}}
    for operation_name in (None, "C"):
        id = await client.subscribe(document, operation_name=operation_name)
        (error,) = await client.receive_errors(id)
        assert error["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, 'Variable "$id" of required type "Int!" was not provided.'),
        ({"id": None}, 'Variable "$id" of non-null type "Int!" must not be null.'),
        ({"id": "x"}, "Int cannot represent non-integer value"),
        ({"id": 2**40}, "Int cannot represent non 32-bit signed integer value"),
    ],
)
async def test_variables_that_do_not_fit_are_refused_before_anything_starts(variables, message):
    @subscription(channel="orders")
    async def order(event, *, id: int) -> int:
        return id

    async with SubscriptionManager([order]) as manager:
        with pytest.raises(ValidationError) as refused:
            await anext(manager.subscribe("subscription($id: Int!) { order(id: $id) }", variables))
        (error,) = refused.value.errors
        assert message in error["message"]
        assert manager.metrics().subscriptions == 0


async def test_literals_variables_and_defaults_give_the_same_arguments():
    @dataclass
    class Range:
        low: int = 1
        high: int | None = None

    globals()["Range"] = Range

    @subscription(channel="orders")
    async def order(event, variables, *, range: Range, ids: list[int]) -> str:
        return f"{range} {ids}"

    manager = SubscriptionManager([order])
    documents = [
        ("subscription { order(range: {high: 3}, ids: 4) }", {}),
        (
            "subscription($r: Range!, $i: [Int!]!) { order(range: $r, ids: $i) }",
            {"r": {"high": 3}, "i": [4]},
        ),
        (
            "subscription($h: Int = 3, $i: Int! = 4) { order(range: {high: $h}, ids: [$i]) }",
            {},
        ),
    ]
    async with manager:
        results = []
        for document, variables in documents:
            async with manager.subscribe(document, variables) as stream:
                await manager.publish("orders", 1)
                results.append((await anext(stream)).data["order"].split(".")[-1])
    assert set(results) == {"Range(low=1, high=3) [4]"}
