"""Fields of an existing schema with permissions or resolvers that only its executor runs."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from typing import Any

import graphql
import pytest
import strawberry
from strawberry.permission import BasePermission

from fraiseql_subs import SchemaError, SubscriptionManager, ValidationError, passthrough


class IsAdmin(BasePermission):
    message = "admins only"

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return False


@strawberry.type
class User:
    name: str
    email: str | None = strawberry.field(permission_classes=[IsAdmin], default=None)


@strawberry.type
class Query:
    user: User


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def changed(self) -> AsyncGenerator[User, None]:
        yield User(name="ada", email="ada@example.org")

    @strawberry.subscription(permission_classes=[IsAdmin])
    async def guarded(self) -> AsyncGenerator[int, None]:
        yield 1


schema = strawberry.Schema(query=Query, subscription=Subscription)
changed = passthrough("changed", channel="users")


async def test_a_declared_subscription_cannot_select_what_has_permissions():
    async with SubscriptionManager([changed], schema=schema) as manager:
        with pytest.raises(ValidationError, match=r"`User\.email`") as refused:
            await anext(manager.subscribe("subscription { changed { name email } }"))
        assert refused.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
        async with manager.subscribe("subscription { changed { name } }") as results:
            await manager.publish("users", {"name": "ada", "email": "ada@example.org"})
            assert (await anext(results)).data == {"changed": {"name": "ada"}}


async def test_the_executor_asks_for_its_permissions_itself():
    async with SubscriptionManager([], schema=schema) as manager:
        result = await anext(manager.subscribe("subscription { changed { name email } }"))
    assert result.data == {"changed": {"name": "ada", "email": None}}
    assert result.errors[0]["message"] == "admins only"


def test_a_declared_field_with_permissions_in_the_schema_is_refused():
    with pytest.raises(SchemaError, match=r"`Subscription\.guarded` has permission_classes"):
        SubscriptionManager([passthrough("guarded", channel="numbers")], schema=schema)


async def test_a_resolver_of_graphql_core_is_not_left_out_in_silence():
    given = graphql.build_schema(
        "type Query { a: Int } type Subscription { order: Order } type Order { n: Int total: Int }"
    )
    given.type_map["Order"].fields["total"].resolve = lambda *_: 1
    order = passthrough("order", channel="orders")
    async with SubscriptionManager([order], schema=given) as manager:
        with pytest.raises(ValidationError, match=r"`Order\.total`: its resolver"):
            await anext(manager.subscribe("subscription { order { n total } }"))


def dict_or_attr_resolver(attname: str, default_value: Any, root: Any, info: Any) -> Any:
    """Stands for graphene's, which wants an older graphql-core than the tests have."""
    return root.get(attname, default_value)


dict_or_attr_resolver.__module__ = "graphene.types.resolver"


def of_graphene(resolve: Any, default: Any = None) -> graphql.GraphQLSchema:
    """Make a schema as graphene does: each field has a resolver."""
    text = graphql.GraphQLString
    resolver = functools.partial(resolve, "full_name", default)
    user = graphql.GraphQLObjectType("User", {"name": graphql.GraphQLField(text, resolve=resolver)})
    return graphql.GraphQLSchema(
        query=graphql.GraphQLObjectType("Query", {"user": graphql.GraphQLField(user)}),
        subscription=graphql.GraphQLObjectType(
            "Subscription", {"changed": graphql.GraphQLField(user)}
        ),
    )


async def test_what_only_reads_an_attribute_in_graphene_is_read_here():
    schema = of_graphene(dict_or_attr_resolver)
    async with SubscriptionManager([changed], schema=schema) as manager:
        async with manager.subscribe("subscription { changed { name } }") as results:
            await manager.publish("users", {"full_name": "ada"})
            assert (await anext(results)).data == {"changed": {"name": "ada"}}


@pytest.mark.parametrize(
    "schema",
    [
        of_graphene(lambda attname, default_value, root, info: "secret"),
        of_graphene(dict_or_attr_resolver, default="nameless"),
    ],
    ids=["another default resolver", "a default value"],
)
async def test_what_does_more_in_graphene_is_left_to_the_executor(schema):
    async with SubscriptionManager([changed], schema=schema) as manager:
        with pytest.raises(ValidationError, match=r"`User\.name`"):
            await anext(manager.subscribe("subscription { changed { name } }"))
