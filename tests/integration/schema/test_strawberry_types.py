"""Strawberry types in published data, and as return values of declared resolvers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

import pytest
import strawberry

from fraiseql_subs import (
    PublishError,
    SchemaError,
    SubscriptionManager,
    passthrough,
    subscription,
)


@strawberry.type
class Order:
    id: int
    name: str = strawberry.field(name="who")

    @strawberry.field
    def label(self) -> str:
        return f"#{self.id}"


@strawberry.type
class Plain:
    id: int
    name: str = strawberry.field(name="who")


@strawberry.type
class Query:
    @strawberry.field
    def order(self) -> Order:
        return Order(id=1, name="ada")

    @strawberry.field
    def plain(self) -> Plain:
        return Plain(id=1, name="ada")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def order_updated(self) -> AsyncGenerator[Order, None]:
        yield Order(id=0, name="")

    @strawberry.subscription
    async def plain_updated(self) -> AsyncGenerator[Plain, None]:
        yield Plain(id=0, name="")


SCHEMAS = {
    "declared in the schema": strawberry.Schema(Query, subscription=Subscription),
    "added to the schema": strawberry.Schema(Query),
}


@subscription(channel="orders")
async def order_updated(event) -> Order:
    return Order(id=event["id"], name=event["name"])


plain_updated = passthrough("plainUpdated", Plain, channel="plains")


@pytest.fixture(params=SCHEMAS.values(), ids=SCHEMAS)
def manager(request):
    return SubscriptionManager([order_updated, plain_updated], schema=request.param)


async def test_attributes_are_read_by_their_names_in_python(manager):
    async with manager, manager.subscribe("subscription { orderUpdated { id who } }") as results:
        await manager.publish("orders", {"id": 7, "name": "ada"})
        assert (await anext(results)).data == {"orderUpdated": {"id": 7, "who": "ada"}}


async def test_attributes_of_published_objects_are_read_by_their_names_in_python(manager):
    async with manager, manager.subscribe("subscription { plainUpdated { id who } }") as results:
        for published in (
            Plain(id=7, name="ada"),
            {"id": 7, "name": "ada"},
            {"id": 7, "who": "ada"},
        ):
            await manager.publish("plains", published)
            assert (await anext(results)).data == {"plainUpdated": {"id": 7, "who": "ada"}}


async def test_a_method_field_that_is_selected_is_named_in_the_log(manager, caplog):
    async with manager, manager.subscribe("subscription { orderUpdated { label } }") as results:
        await manager.publish("orders", {"id": 7, "name": "ada"})
        result = await anext(results)
    assert result.data is None
    assert [error["path"] for error in result.errors] == [["orderUpdated", "label"]]
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "the method `Order.label`, which is not called" in record.getMessage()


async def test_an_object_with_a_method_field_is_not_published(manager):
    async with manager:
        with pytest.raises(PublishError, match=r"data\.label: the method `Order\.label`, which is"):
            manager.publish("orders", Order(id=7, name="ada"))


def test_a_schema_of_type_hints_refuses_a_method_field():
    with pytest.raises(SchemaError, match=r"Order\.label is a method field of Strawberry"):
        SubscriptionManager([order_updated])


async def test_a_schema_of_type_hints_has_the_names_that_strawberry_gives():
    async with SubscriptionManager([plain_updated]) as manager:
        async with manager.subscribe("subscription { plainUpdated { who } }") as results:
            await manager.publish("plains", Plain(id=7, name="ada"))
            assert (await anext(results)).data == {"plainUpdated": {"who": "ada"}}
