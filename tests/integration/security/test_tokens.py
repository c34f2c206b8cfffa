"""JSON Web Tokens, expiry of identities, hosts, and the list of connections."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.key_server import KeyServer
from support.listening import listening
from support.tokens import SECRET, token
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fraiseql_subs import (
    JWT,
    ConfigurationError,
    ConnectionParams,
    Context,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    TenantIsolation,
    subscription,
)

pytestmark = pytest.mark.attack


@subscription(channel="who")
async def who(event, context: Context) -> str:
    identity = context.identity
    return f"{identity.user_id} {identity.tenant_id} {sorted(identity.permissions)}"


def make_manager(*, origins: list[str] | None = None, **options: Any) -> SubscriptionManager:
    rules = {name: options.pop(name) for name in ("authenticate", "tenant") if name in options}
    jwt = JWT(**{"key": SECRET, "algorithms": ["HS256"], **options})
    return SubscriptionManager([who], security=Security(jwt=jwt, origins=origins, **rules))


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (lambda t: {"authorization": f"Bearer {t}"}, lambda t: {}),
        (lambda t: {"Authorization": f"bearer {t}"}, lambda t: {"Authorization": "Bearer x"}),
        (lambda t: {"token": t}, lambda t: {}),
        (lambda t: None, lambda t: {"Authorization": f"Bearer {t}"}),
        (lambda t: {}, lambda t: {"Cookie": f"a=b; session={t}"}),
    ],
)
async def test_a_token_is_taken_from_payload_header_or_cookie(payload, headers, serve, connect):
    manager = make_manager(
        cookie="session", permissions_claim="scope", origins=["https://app.example.com"]
    )
    server = await serve(manager)
    signed = token(tenant_id="a", scope="read write")
    client = await connect(server.url, payload(signed), additional_headers=headers(signed))
    await client.subscribe("subscription { who }")
    await manager.publish("who", 1)
    assert await client.receive_data() == {"who": "ada a ['read', 'write']"}


@pytest.mark.parametrize(
    "refused",
    [
        None,
        "nonsense",
        # Arguments of `token`, which signs when the test runs. It is valid for a minute.
        {"secret": "another-secret-of-thirty-two-bytes-or-so"},
        {"exp": time.time() - 60},
        {"aud": "other"},
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS512"}},
        {"sub": ""},
    ],
)
async def test_a_token_that_does_not_hold_is_closed_with_4403(refused, serve, connect):
    manager = make_manager(audience="app")
    server = await serve(manager)
    neighbour = await connect(server.url, {"token": token(aud=["app"])})
    client = await connect(server.url, init=False)
    signed = token(**refused) if isinstance(refused, dict) else refused
    payload = {} if signed is None else {"token": signed}
    await client.send({"type": "connection_init", "payload": payload})
    await client.expect_close(4403, "Forbidden")
    await neighbour.settle()
    assert manager.metrics().denied_authentication == 1


async def test_the_hook_sees_what_the_token_says_and_has_the_last_word(serve, connect):
    async def authenticate(params: ConnectionParams) -> Identity | None:
        assert params.identity is not None and params.identity.claims["team"] == "red"
        if params.identity.user_id != "ada":
            return None
        return Identity("ada2", tenant_id="from-hook")

    manager = make_manager(authenticate=authenticate, tenant=TenantIsolation())
    server = await serve(manager)
    client = await connect(server.url, {"token": token(team="red")})
    await client.subscribe("subscription { who }")
    await manager.publish("who", 1, tenant_id="from-hook")
    assert await client.receive_data() == {"who": "ada2 from-hook []"}
    other = await connect(server.url, init=False)
    payload = {"token": token(sub="bob", team="red")}
    await other.send({"type": "connection_init", "payload": payload})
    await other.expect_close(4403)


async def test_the_end_of_a_token_ends_the_live_connection(serve, connect):
    manager = make_manager(leeway=0)
    server = await serve(manager)
    neighbour = await connect(server.url, {"token": token()})
    client = await connect(server.url, init=False)
    # Signed as late as possible: it has to be valid when it arrives.
    await client.init({"token": token(exp=time.time() + 3)})
    await client.subscribe("subscription { who }")
    await client.expect_close(4403, "Identity expired")
    await neighbour.subscribe("subscription { who }")
    await manager.publish("who", 1)
    assert await neighbour.receive_data() == {"who": "ada None []"}
    assert manager.metrics().connections_expired == 1


@pytest.mark.parametrize("ended", [0.0, -1.0])
async def test_an_identity_that_has_ended_is_not_accepted(ended, serve, connect):
    async def authenticate(params: ConnectionParams) -> Identity:
        return Identity("ada", expires_at=time.time() + ended)

    security = Security(authenticate=authenticate)
    server = await serve(SubscriptionManager([who], security=security))
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await client.expect_close(4403, "Identity expired")


async def test_only_listed_hosts_are_answered(serve, connect):
    security = Security(hosts=["127.0.0.1", "*.example.com"])
    manager = SubscriptionManager([who], security=security)
    server = await serve(manager)
    await connect(server.url)
    here = {"host": server.host, "port": server.port}
    await connect("ws://api.example.com/graphql", **here)
    with pytest.raises(InvalidStatus) as refused:
        await connect("ws://evil.test/graphql", **here)
    assert refused.value.response.status_code == 403
    assert manager.metrics().denied_host == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"key": None}, "pass one of `key=`"),
        ({"jwks": "{}"}, "pass one of `key=`"),
        ({"key": "short"}, "at least 32"),
        ({"algorithms": ["none"]}, "`none` in `algorithms` is not supported"),
        ({"algorithms": []}, "no algorithm is listed"),
        ({"algorithms": ["RS256"]}, "PEM public key"),
        ({"algorithms": ["HS256", "RS256"]}, "`algorithms` mixes HS"),
        ({"key": None, "jwks": "{}"}, "not a JSON Web Key Set"),
        ({"leeway": -1}, "at least 0"),
        ({"key": 5}, "JWT.key is of type int"),
        ({"key": None, "jwks": {}}, "JWT.jwks is {}"),
        ({"key": None, "jwks_url": 5}, "JWT.jwks_url is 5"),
        (
            {"key": None, "jwks_url": "https://a.test", "algorithms": ["none"]},
            "`none` in `algorithms` is not supported",
        ),
        ({"user_claim": None}, "JWT.user_claim is None"),
        ({"roles_claim": ""}, "JWT.roles_claim is ''"),
        ({"header": 5}, "JWT.header is 5"),
        ({"cookie": ""}, "JWT.cookie is ''"),
        ({"audience": 5}, "JWT.audience is 5"),
        ({"parameters": "token"}, "JWT.parameters is 'token'"),
        ({"cookie": "session"}, "needs Security.origins"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(options, problem):
    options = {"key": SECRET, "algorithms": ["HS256"], **options}
    with pytest.raises(ConfigurationError) as refused:
        Security(jwt=JWT(**options))
    assert problem in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_secret_is_not_in_the_text_of_its_setting():
    assert SECRET not in repr(JWT(key=SECRET, algorithms=["HS256"]))


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
async def test_binding_beyond_loopback_without_security_is_warned_of(host, warned, caplog):
    async with SubscriptionManager([who]).serve(host, 0):
        assert ("anybody who reaches" in caplog.text) == warned
    caplog.clear()
    async with make_manager().serve(host, 0):
        assert "anybody" not in caplog.text


def of_key(kid: str, secret: str) -> str:
    return token(secret=secret, header={"alg": "HS256", "kid": kid})


async def is_accepted(server: Any, connect: Any, signed: str) -> bool:
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init", "payload": {"token": signed}})
    try:
        return (await client.receive())["type"] == "connection_ack"
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 4403
        return False


async def test_keys_are_fetched_once_for_all_and_unknown_ones_cause_no_flood(serve, connect):
    async with KeyServer() as keys:
        keys.keys = {"one": SECRET}
        server = await serve(make_manager(key=None, jwks_url=keys.url))
        accepted = (is_accepted(server, connect, of_key("one", SECRET)) for _ in range(5))
        assert all(await asyncio.gather(*accepted))
        assert keys.asked == 1
        other = "a-second-secret-of-more-than-thirty-two-bytes"
        keys.keys["two"] = other
        for _ in range(3):
            assert not await is_accepted(server, connect, of_key("two", other))
        assert keys.asked == 1
        assert await is_accepted(server, connect, of_key("one", SECRET))


async def test_without_keys_no_client_is_accepted(serve, connect, caplog, within):
    async with KeyServer() as keys:
        keys.status = "500 Internal Server Error"
        server = await serve(make_manager(key=None, jwks_url=keys.url))
        for _ in range(2):
            assert not await is_accepted(server, connect, of_key("one", SECRET))
        assert keys.asked == 1


@pytest.mark.parametrize("url", ["http://keys.example.com/", "keys", "http://localhost.evil.test/"])
def test_keys_are_fetched_over_tls_only(url):
    with pytest.raises(ConfigurationError, match="https://"):
        make_manager(key=None, jwks_url=url)


async def test_keys_that_do_not_come_in_time_end_the_wait_of_a_client(serve, connect):
    async def say_nothing(_reader, _writer):
        await asyncio.Event().wait()

    async with listening(say_nothing) as port:
        url = f"http://127.0.0.1:{port}/"
        security = Security(jwt=JWT(jwks_url=url, algorithms=["HS256"]))
        limits = Limits(connection_init_timeout=1.0)
        server = await serve(SubscriptionManager([who], security=security, limits=limits))
        client = await connect(server.url, init=False)
        token = of_key("one", SECRET)
        await client.send({"type": "connection_init", "payload": {"token": token}})
        await client.expect_close(4408, "Connection initialisation timeout")
