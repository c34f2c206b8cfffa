"""Every setting refuses invalid values when it is passed, with its name and a remedy."""

from __future__ import annotations

import inspect
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fraiseql_subs import (
    JWT,
    RBAC,
    TLS,
    Accepted,
    ConfigurationError,
    Deprecated,
    Drain,
    Federation,
    History,
    Identity,
    Limits,
    Name,
    Rates,
    Redis,
    RowFilter,
    Scalar,
    SchemaError,
    Scope,
    Security,
    SubscriptionManager,
    TenantIsolation,
    Tracing,
    passthrough,
    subscription,
)
from fraiseql_subs.adapters import GraphQLTransportWSHandler
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory
from fraiseql_subs.adapters.starlette import create_subscription_app

LONE = "\ud800"
"""A text that cannot be sent."""

feed = passthrough("feed", int, channel="feed")


def manager() -> SubscriptionManager:
    return SubscriptionManager([feed])


def serve(**options: Any) -> Any:
    return manager().serve(**options)


def run(**options: Any) -> None:
    manager().run(**options)


def declare(**options: Any) -> Any:
    def resolver(event: Any) -> int:
        return 1

    return subscription(**{"channel": "c", **options})(resolver)


def pass_through(**options: Any) -> Any:
    return passthrough(**{"name": "feed", "type": int, "channel": "c", **options})


def jwt(**options: Any) -> JWT:
    return JWT(**{"key": "k" * 32, "algorithms": ["HS256"], **options})


def app(**options: Any) -> Any:
    return GraphQLApp(**{"manager": manager(), **options})


def starlette_app(**options: Any) -> Any:
    return create_subscription_app(**{"manager": manager(), **options})


def router(**options: Any) -> Any:
    to_create = {name: options.pop(name) for name in ("path", "dependencies") if name in options}
    factory = SubscriptionRouterFactory(**{"manager": manager(), **options})
    return factory.create_router(**to_create)


def handler(**options: Any) -> Any:
    return GraphQLTransportWSHandler(**{"manager": manager(), **options})


def rates(**options: Any) -> Rates:
    return Rates(**{"messages": "1/s", **options})


def scalar(**options: Any) -> Scalar:
    return Scalar(**{"name": "Base64", **options})


def row_filter(**options: Any) -> RowFilter:
    return RowFilter(**{"channel": "c", "where": {"a": "$identity.user_id"}, **options})


def tls(**options: Any) -> TLS:
    return TLS(**{"cert": "cert.pem", "key": "key.pem", **options})


def scope(**options: Any) -> Scope:
    return Scope(**{"arguments": {"a": "$identity.user_id"}, **options})


def federation(**options: Any) -> Federation:
    return Federation(**{"subgraph": "orders", **options})


def redis(**options: Any) -> Redis:
    return Redis(**{"url": "redis://127.0.0.1", **options})


async def asynchronous() -> str:
    return "secret"


def identity(**options: Any) -> Identity:
    return Identity(**{"user_id": "ada", **options})


FLAG = [None, "yes", 1, [], "False"]
COUNT = [0, -1, 1.5, True, "10", [], 2**64]
SECONDS = [-1, 0, True, "1", math.nan, math.inf, 1e300, []]
DRAIN = [None, -1, True, "x", math.nan, math.inf, 1e300, []]
TEXT = [5, b"a", "", [], LONE]
TEXTS = ["admin", 5, [1], [None], [LONE]]
MANAGER = [None, SubscriptionManager, "manager", 5]
FUNCTION = [5, "f", lambda: None, lambda a, b: None]
PATTERN = ["/{x}", "/a{x}", "/a*", "/a?b", "/a#b", "/a b", "/é", "/a\\b", "/%7Bx%7D", "/a\n"]


def each(names: list[str], values: list[Any]) -> dict[str, list[Any]]:
    return {name: values for name in names}


NOT_LISTENING = socket.socket()
NOT_LISTENING.close()

CASES: dict[Callable[..., Any], dict[str, list[Any]]] = {
    SubscriptionManager: {
        "subscriptions": [None, 5, "orders", [5], [None]],
        "schema": [5, [], "", "no.such", Path("no such file.graphql")],
        "bus": [
            None,
            5,
            "",
            LONE,
            "redis",
            "amqp://x",
            "memory://x",
            "redis://",
            "redis://a,b",
            "redis://x?size=5",
            "redis+sentinel://x",
        ],
        "on_unavailable": [None, 5, "", "drop", []],
        "publish_timeout": SECONDS,
        "node_name": [5, "", [], LONE, "x" * 129],
        "unready_after": ["1", -1, math.nan, True, 24 * 3600 + 1],
        "metrics": [5, "x", {}],
        "metrics_interval": [None, "1", 0, -1, math.nan, True, 24 * 3600 + 1],
        "tracing": [None, 5, "x", Tracing, {}],
        "security": [5, "x", Security, {}],
        "limits": [5, "x", Limits, {}],
        "history": [5, "x", History, {}],
        "workers": [*COUNT, 257],
        "debug": FLAG,
        "introspection": FLAG,
        "trusted_documents": [5, "", ["{ a }"], [("a", "b")], {1: "b"}, {"a": 5}, "no such file"],
        "context_getter": [5, lambda context: None],
        "root_value": [5],
        "transports": [None, 5, "post", [], ["nothing"], ["sse"]],
        "scalars": [None, 5, "Base64", [5], [Scalar], Scalar("Base64")],
        "enums": [None, 5, "Status", [5], ["Status"]],
        "graphiql": FLAG,
        "sources": [None, 5, "postgresql://h/d", ["postgresql://h/d"], [None]],
    },
    serve: {
        "host": [None, 5, "", "a b", "http://localhost", LONE],
        "port": [None, "8000", -1, 99999, 1.5, True, []],
        "path": [
            None,
            5,
            "",
            "graphql",
            *PATTERN,
            "/health",
            "/health/",
            "/health/live",
            "/health/ready",
            "/metrics",
            "//graphql",
            "/a//b",
            "/../a",
            "/a/.",
        ],
        "tls": [True, 5, "cert.pem", TLS, ("cert.pem", "key.pem")],
        "drain": DRAIN,
        "unix": [5, "", b"/a", [], "a\0b", LONE],
        "reuse_port": FLAG,
        "compression": FLAG,
        "trusted_proxies": [5, None, "10.0.0.1", [5], [""], ["*"], ["a.example.com"], [LONE]],
        "proxy_protocol": [*FLAG, True],
        "root_path": [None, 5, "shop", *PATTERN, "/metrics", "//a", "/a/.."],
        "listener": [5, "", socket.socket, NOT_LISTENING],
        "publish_key": [5, "", "short", " " * 16, b"k" * 16, [], [5], ["k" * 15], {}, LONE * 16],
        "publish_path": [None, 5, "", "publish", *PATTERN, "/metrics", "//a", "/in"],
    },
    run: {
        "host": [None, 5],
        "port": [None, "8000", 99999],
        "path": [None, "graphql", "/{x}"],
        "tls": [True],
        "drain": DRAIN,
        "unix": [5],
        "reuse_port": FLAG,
        "compression": FLAG,
        "trusted_proxies": [5, ["*"]],
        "proxy_protocol": FLAG,
        "root_path": [None, "shop"],
        "listener": [5],
        "publish_key": [5, "short"],
        "publish_path": [None, "publish"],
        "main": [5, "main", lambda a: None],
    },
    Drain: {
        "seconds": DRAIN,
        "ready_delay": DRAIN,
        "closes_per_second": [0, -1, True, "x", math.nan, math.inf, 1e300, []],
    },
    Limits: {
        **each(
            [
                "max_subscriptions_per_connection",
                "max_message_bytes",
                "max_head_bytes",
                "max_retained_bytes",
                "max_pending_bytes",
            ],
            [None, *COUNT],
        ),
        **each(
            [
                "max_connections",
                "max_depth",
                "max_complexity",
                "max_aliases",
                "max_directives",
                "max_tokens",
            ],
            COUNT,
        ),
        **each(["connection_init_timeout", "request_timeout", "send_timeout"], [None, *SECONDS]),
        "keepalive": SECONDS,
        "slow_consumer": [None, 5, "", "drop", []],
    },
    History: {"events": [None, *COUNT], "seconds": [None, *SECONDS], "max_bytes": [None, *COUNT]},
    Security: {
        "authenticate": [5, lambda params: None, "x"],
        **each(["jwt", "tenant", "scope", "rbac", "federation", "rates"], [5, True, "x"]),
        "rows": [None, 5, [5], row_filter()],
        "origins": [5, "https://a.test", ["a"], [5], [LONE]],
        "hosts": [5, "a.test", [], [5], ["a b"], [LONE]],
    },
    rates: {
        "subscribes": [5, "", "10", "0/s", "1/y", "-1/s", [], LONE],
        "messages": [5, "", "10/d", LONE],
        "events": [5, "x", LONE],
        "refusals": [5, "x", LONE],
        "per": [None, 5, "user", []],
    },
    jwt: {
        "key": [5, [], LONE],
        "algorithms": [None, 5, "HS256", [], ["none"], ["XS256"], [5]],
        "audience": [5, [5], [LONE]],
        "issuer": [5, [5]],
        "leeway": [None, -1, "1", math.nan, True],
        **each(["user_claim", "tenant_claim", "roles_claim", "permissions_claim"], [None, *TEXT]),
        "parameters": [None, *TEXTS],
        **each(["header", "query", "cookie"], TEXT),
    },
    tls: {"cert": [None, 5, "", []], "key": [None, 5, "", []]},
    TenantIsolation: {"event_field": [5, "", "a..b", [], LONE]},
    row_filter: {
        "channel": [None, *TEXT],
        "where": [None, 5, {}, [], {5: "a"}, {"a..b": 1}, {"a": object()}],
        "unless": [None, 5, [5], [LONE]],
    },
    scope: {
        "arguments": [None, 5, {}, [], {5: "a"}, {"a..b": 1}],
        "unless": [None, 5, [5]],
    },
    RBAC: {
        "fields": [None, 5, [], {"Order": "a"}, {"Order.total": 5}, {5: "a"}],
        "subscriptions": [None, 5, [], {"a b": "a"}, {"a": ""}],
        "on_denied": [None, 5, "hide", []],
    },
    federation: {
        "subgraph": [None, 5, "", "a*", LONE],
        "channels": [5, "orders", [5], [""], [LONE]],
    },
    identity: {
        "user_id": [None, "", True, b"a", [], LONE],
        "tenant_id": [True, b"a", [], LONE],
        "roles": [None, *TEXTS],
        "permissions": [None, *TEXTS],
        "claims": [None, 5, []],
        "expires_at": ["x", True, math.nan, []],
    },
    Accepted: {"identity": [5, "ada"], "ack_payload": [5, "x", []]},
    scalar: {
        "name": [None, 5, "", "Int", "a b", []],
        "serialize": [5, "f", lambda: None],
        "parse": [5, "f", lambda: None],
        "description": [5, [], 0],
        "specified_by": [5, [], 0],
    },
    Name: {"name": [None, 5, "", "a b"]},
    Deprecated: {"reason": [None, 5]},
    declare: {
        "channel": [None, 5, "", [], "a{", "{}"],
        "name": [5, "", "a b", []],
        "event_types": [5, "paid", [], [5], [""]],
        "filter": [5, [], "a", {5: 1}, {"a..b": 1}, {"a": object()}],
        "description": [5, []],
        "initial": [5, "f", lambda other: None],
        "concurrency": [None, *COUNT, 1025],
        "timeout": SECONDS[:-2],
        "shared": FLAG,
        "batch": FLAG,
        "arguments": [5, [], "a", {"a": int}],
    },
    pass_through: {
        "name": [None, 5, "", "a b", LONE],
        "channel": [None, 5, "", []],
        "event_types": [5, "paid", [], [5]],
        "filter": [5, [], "a"],
        "arguments": [5, [], "a"],
        "description": [5, []],
    },
    app: {"manager": MANAGER, "context": FUNCTION, "drain": DRAIN},
    starlette_app: {
        "manager": MANAGER,
        "path": [5, "", "graphql", "/a?b", "/a#b", "/a b"],
        "context": FUNCTION,
        "drain": DRAIN,
    },
    router: {
        "manager": MANAGER,
        "context": [5, "x"],
        "drain": DRAIN,
        "path": [None, 5, "graphql", "/a?b", "/a#b", "/a b"],
        "dependencies": [5, "x", [5]],
    },
    handler: {"manager": MANAGER, "drain": DRAIN},
    redis: {
        "url": [None, *TEXT],
        "username": [*TEXT, "bus"],
        "password": [*TEXT, asynchronous],
        "sentinel_password": TEXT,
        "ca": [*TEXT, "ca.pem"],
        "client_cert": [*TEXT, "cert.pem"],
        "client_key": [*TEXT, "key.pem"],
        "partitions": [*COUNT, 3, 2048],
        "prefix": [*TEXT, "a:b"],
        "max_event_bytes": [*COUNT, 1023, 2**24 + 1],
        "accept_raw": FLAG,
    },
}

EVERY = [
    # Processes that share the tests need the same names, which `repr` does not make of functions.
    pytest.param(make, setting, value, id=f"{make.__name__}-{setting}-{number}")
    for make, settings in CASES.items()
    for setting, values in settings.items()
    for number, value in enumerate(values)
]


@pytest.mark.parametrize(("make", "setting", "value"), EVERY)
def test_a_setting_that_cannot_work_is_refused_by_its_name_with_what_to_give(make, setting, value):
    with pytest.raises((ConfigurationError, SchemaError)) as refused:
        make(**{setting: value})
    message = str(refused.value)
    assert setting in message or setting.replace("_", " ") in message
    # The remedy follows the problem.
    assert ":" in message or ";" in message


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_an_unknown_setting_is_named(make):
    with pytest.raises(TypeError, match="no_such_setting"):
        make(no_such_setting=1)


@dataclass
class Public:
    """The callable, and its settings that other tests check."""

    made_by: Callable[..., Any]
    elsewhere: tuple[str, ...] = ()


PUBLIC = {
    SubscriptionManager: Public(SubscriptionManager),
    SubscriptionManager.serve: Public(serve),
    SubscriptionManager.run: Public(run),
    Limits: Public(Limits),
    History: Public(History),
    Security: Public(Security, ("status_hosts",)),
    Rates: Public(rates),
    # `test_tokens.py` tests which of the three is set.
    JWT: Public(jwt, ("jwks", "jwks_url")),
    TLS: Public(tls),
    TenantIsolation: Public(TenantIsolation),
    RowFilter: Public(row_filter),
    Scope: Public(scope),
    RBAC: Public(RBAC),
    Federation: Public(federation),
    Identity: Public(identity),
    Redis: Public(redis),
    Accepted: Public(Accepted),
    Scalar: Public(scalar),
    subscription: Public(declare, ("fn",)),
    # An annotation: `test_schema.py`.
    passthrough: Public(pass_through, ("type",)),
    GraphQLApp: Public(app),
    create_subscription_app: Public(starlette_app),
    GraphQLTransportWSHandler: Public(handler),
}


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_every_public_setting_is_tried(function):
    declared = set(inspect.signature(function).parameters) - {"self"}
    public = PUBLIC[function]
    assert declared == set(CASES[public.made_by]) | set(public.elsewhere)


@pytest.mark.parametrize(
    "path", ["/", "/graphql", "/graphql/", "/a/b-c_d.e~1", "/healthz", "/a:b@c"]
)
def test_a_path_that_is_none_of_these_is_taken(path):
    assert serve(path=path).path == path


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"host": "127.0.0.1"}, "host"),
        ({"port": 8000}, "port"),
        ({"port": 0}, "port"),
        ({"reuse_port": True}, "reuse_port"),
        ({"tls": tls()}, "tls"),
    ],
)
def test_a_unix_socket_has_nothing_of_a_network(options, setting):
    with pytest.raises(ConfigurationError, match=f"unix= and {setting}="):
        serve(unix="a.sock", **options)


async def test_a_manager_is_not_closed_with_a_drain_that_cannot_work():
    async with manager() as started:
        for drain in DRAIN:
            with pytest.raises(ConfigurationError, match="drain is"):
                await started.close(drain=drain)
        await started.publish("feed", 1)


@pytest.mark.parametrize("code", [None, "4403", 999, 2000, 5000, 4403.5])
async def test_a_close_code_that_cannot_be_sent_is_refused(code):
    async with manager() as started:
        with pytest.raises(ConfigurationError, match="code="):
            await started.disconnect(connection_id="a", code=code)


def test_a_coroutine_that_is_not_run_is_closed():
    async def main() -> None: ...

    coroutine = main()
    with pytest.raises(ConfigurationError, match="port is 'x'"):
        run(main=coroutine, port="x")
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
