"""`Context.require_identity`, and `Context[Value]`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fraiseql_subs import Context, Event, GraphQLError, Identity, SubscriptionManager, subscription


@dataclass(frozen=True)
class User(Identity):
    plan: str = "free"


@dataclass
class Session:
    name: str


@subscription(channel="orders")
async def plan(event: Event, context: Context[Session]) -> str:
    return f"{context.require_identity(User).plan} {context.value.name}"


def test_an_identity_is_returned_with_its_class():
    user = User("ada", plan="pro")
    assert Context(identity=user).require_identity() is user
    assert Context(identity=user).require_identity(User) is user
    assert Context(identity={"user_id": "ada"}).require_identity(dict) == {"user_id": "ada"}


def test_one_that_is_not_there_is_an_error_for_the_client():
    with pytest.raises(GraphQLError, match="authentication is required") as told:
        Context().require_identity(User)
    assert told.value.extensions == {"code": "UNAUTHENTICATED"}


def test_one_of_another_class_is_a_fault_of_the_application():
    with pytest.raises(TypeError, match="class Identity, and not User"):
        Context(identity=Identity("ada")).require_identity(User)
    with pytest.raises(TypeError, match="class dict, and not Identity"):
        Context(identity={"user_id": "ada"}).require_identity()


async def test_a_resolver_uses_both():
    async with SubscriptionManager([plan]) as manager:
        document, session = "subscription { plan }", Session("one")
        user = User("ada", plan="pro")
        async with (
            manager.subscribe(document, context=session, identity=user) as with_user,
            manager.subscribe(document, context=session) as without,
        ):
            await manager.publish("orders", 1)
            assert (await anext(with_user)).data == {"plan": "pro one"}
            errors = (await anext(without)).errors
            assert errors is not None
            assert errors[0]["message"] == "authentication is required"
            assert errors[0]["extensions"] == {"code": "UNAUTHENTICATED"}
