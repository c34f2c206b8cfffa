"""An identity that is a mapping, or an object of the application, is checked as `Identity` is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from fraiseql_subs import (
    ConfigurationError,
    Context,
    Identity,
    Security,
    SubscriptionManager,
    subscription,
)


@subscription(channel="who")
async def who(event, context: Context) -> str:
    identity = context.identity
    return identity["user_id"] if isinstance(identity, dict) else identity.user_id


@dataclass
class User:
    user_id: str
    roles: Any = ()


REFUSED = {
    "roles as a text": ({"user_id": "a", "roles": "admin"}, "Identity.roles is 'admin'"),
    "permissions as a number": ({"user_id": "a", "permissions": 1}, "Identity.permissions is 1"),
    "an unknown member": (
        {"user_id": "a", "rolez": ["x"]},
        "a member of an identity is 'rolez': use some of user_id, tenant_id, roles, .*`claims`",
    ),
    "claims as a list": ({"user_id": "a", "claims": []}, "Identity.claims is "),
    "no user": ({"roles": ["admin"]}, 'an identity needs a "user_id"'),
    "an end that is no number": ({"user_id": "a", "expires_at": "soon"}, "Identity.expires_at"),
    "an object with roles as a text": (User("a", "admin"), "Identity.roles is 'admin'"),
    "something else": (7, "7 is not an identity"),
}


@pytest.mark.parametrize(("identity", "problem"), REFUSED.values(), ids=REFUSED)
async def test_an_identity_that_cannot_be_is_refused(identity, problem):
    async with SubscriptionManager([who]) as manager:
        with pytest.raises(ConfigurationError, match=problem):
            async with manager.subscribe("subscription { who }", identity=identity):
                pass


@pytest.mark.parametrize(("identity", "problem"), REFUSED.values(), ids=REFUSED)
async def test_so_is_one_that_authenticate_returns(identity, problem, serve, connect, caplog):
    async def authenticate(params):
        return identity

    manager = SubscriptionManager([who], security=Security(authenticate=authenticate))
    server = await serve(manager)
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await client.expect_close(4403, "Forbidden")
    assert re.search(problem, caplog.text)


ACCEPTED = [
    {"user_id": "a", "roles": ["admin"], "tenant_id": None, "claims": {"plan": "pro"}},
    {"user_id": "a", "expires_at": None},
    User("a", ["admin"]),
    Identity("a"),
]


@pytest.mark.parametrize("identity", ACCEPTED)
async def test_resolvers_receive_the_identity_object_unchanged(identity):
    async with SubscriptionManager([who]) as manager:
        async with manager.subscribe("subscription { who }", identity=identity) as results:
            await manager.publish("who", 1)
            assert (await anext(results)).data == {"who": "a"}
