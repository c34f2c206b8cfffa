"""Access of clients: `authenticate`, origins, `disconnect`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.authentication import Admitting, Waiting, by_payload, refuse
from websockets.exceptions import InvalidStatus

from fraiseql_subs import (
    ConfigurationError,
    ConnectionParams,
    Context,
    Identity,
    Security,
    SubscriptionManager,
    subscription,
)


@subscription(channel="who")
async def who(event, context: Context) -> str:
    identity = context.identity
    name = identity.user_id if isinstance(identity, Identity) else identity and identity["user_id"]
    return f"{name} {context.params and context.params.payload}"


def make_manager(authenticate: Any = None, **options: Any) -> SubscriptionManager:
    return SubscriptionManager([who], security=Security(authenticate=authenticate, **options))


@pytest.mark.parametrize("as_dict", [False, True])
async def test_the_identity_reaches_resolvers_and_the_hook_sees_the_client(as_dict, serve, connect):
    seen: list[ConnectionParams] = []

    async def authenticate(params: ConnectionParams) -> Any:
        seen.append(params)
        await asyncio.sleep(0)
        user = params.payload["token"]
        return {"user_id": user} if as_dict else Identity(user_id=user)

    manager = make_manager(authenticate)
    server = await serve(manager)
    client = await connect(server.url, {"token": "ada"}, additional_headers={"X-Mine": "1"})
    id = await client.subscribe("subscription { who }")
    await manager.publish("who", 1)
    assert await client.receive_data(id) == {"who": "ada {'token': 'ada'}"}
    (params,) = seen
    assert params.headers["x-mine"] == "1"
    assert params.remote_address.startswith("127.0.0.1:")
    assert params.connection_id


async def fail(params: ConnectionParams) -> None:
    raise RuntimeError("secret")


async def nonsense(params: ConnectionParams) -> Any:
    return 42


def answering(answer: Any) -> Any:
    async def authenticate(params: ConnectionParams) -> Any:
        return answer

    return authenticate


WITHOUT_USER = [answering({}), answering({"user": "ada"}), answering({"user_id": None})]


@pytest.mark.parametrize("hook", [refuse, fail, nonsense, *WITHOUT_USER])
async def test_a_client_that_the_hook_refuses_is_closed_with_4403(hook, serve, connect, caplog):
    server = await serve(make_manager(hook))
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await client.expect_close(4403, "Forbidden")
    assert ("authenticate raised" in caplog.text) == (hook is not refuse)


async def test_subscribing_while_the_hook_runs_is_unauthorized(serve, connect, within):
    hook = Waiting()
    server = await serve(make_manager(hook))
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await within(hook.entered.wait())
    query = {"query": "subscription { who }"}
    await client.send({"id": "1", "type": "subscribe", "payload": query})
    await client.expect_close(4401, "Unauthorized")
    hook.let_in.set()


async def test_an_origin_that_is_not_listed_is_refused_at_the_handshake(serve, connect):
    server = await serve(make_manager(origins=["https://app.example.com"]))
    await connect(server.url)
    await connect(server.url, origin="https://app.example.com")
    for origin in ("https://evil.example.com", "http://app.example.com", "null"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url, origin=origin)
        assert refused.value.response.status_code == 403


async def test_disconnect_ends_the_selected_connections_at_once(serve, connect):
    manager = make_manager(by_payload)
    server = await serve(manager)
    users = ["ada@a", "ada@b", "bob@b", "cem@c"]
    clients = [await connect(server.url, {"user": user}) for user in users]
    assert (await manager.disconnect(identity=Identity("ada"), tenant_id="b")).closed == 1
    await clients[1].expect_close(4403, "Forbidden")
    assert (await manager.disconnect(tenant_id="b", code=4000, reason="Moved")).closed == 1
    await clients[2].expect_close(4000, "Moved")
    assert (await manager.disconnect(identity=Identity("nobody"))).closed == 0
    for client in (clients[0], clients[3]):
        await client.settle()


async def test_disconnect_by_connection_id(serve, connect):
    hook = Admitting()
    manager = make_manager(hook)
    server = await serve(manager)
    one, other = await connect(server.url), await connect(server.url)
    assert (await manager.disconnect(connection_id=hook.asked[0].connection_id)).closed == 1
    await one.expect_close(4403)
    await other.settle()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "needs identity"),
        ({"tenant_id": "a", "code": 1006}, "1000, or 3000 to 4999"),
    ],
)
async def test_disconnect_refuses_what_cannot_work(options, problem):
    async with make_manager() as manager:
        with pytest.raises(ConfigurationError, match=problem):
            await manager.disconnect(**options)


async def test_a_page_passes_by_its_own_host_only_where_that_is_listed(serve, connect):
    origins = ["https://app.example.com"]
    server = await serve(make_manager(origins=origins))
    own = server.http_url.removesuffix("/graphql")
    # An attacker's name may resolve to this address.
    with pytest.raises(InvalidStatus):
        await connect(server.url, origin=own)
    server = await serve(make_manager(origins=origins, hosts=["127.0.0.1"]))
    own = server.http_url.removesuffix("/graphql")
    await connect(server.url, origin=own)
    with pytest.raises(InvalidStatus):
        await connect(server.url, origin=own + "1")
