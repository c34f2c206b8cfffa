"""Configuration of the checks that clients have to pass: authentication and rules, all optional.

Values are checked when they are created, and rules against the schema when the manager is created.
Not here: the enforcement, which is done by the core.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from fraiseql_subs._callables import check_callable
from fraiseql_subs._core import check_hosts, check_origins, check_path, check_rate, check_rule
from fraiseql_subs._texts import LONE_SURROGATE, has_utf8, naming_lone_surrogates
from fraiseql_subs.config import (
    Accepted,
    ConnectionParams,
    Identity,
    check_text,
    is_number,
    refuse,
    strings,
)
from fraiseql_subs.errors import ConfigurationError

OnDenied: TypeAlias = Literal["error", "null"]
Per: TypeAlias = Literal["identity", "connection", "address"]

_KEYS_URL = re.compile(r"https://|http://(localhost|127\.0\.0\.1|\[::1\])[:/]")
_FIELD = re.compile(r"[_A-Za-z]\w*\.[_A-Za-z]\w*", re.ASCII)
_IDENTITY = 'such as {"user_id": "$identity.user_id"}'

Authenticate: TypeAlias = Callable[
    [ConnectionParams], Awaitable[Accepted | Identity | Mapping[str, Any] | None]
]


@dataclass(frozen=True, slots=True)
class TenantIsolation:
    """Events reach only subscribers of their own tenant; an event without one is dropped.

    A client needs an identity with a `tenant_id` to subscribe.

    Attributes:
        event_field: Dotted path to the tenant in the data of an event; None: only `tenant_id=` of
            `publish` sets the tenant. Publishing an event for which both differ is refused.

    Raises:
        ConfigurationError: `event_field` is not a path.
    """

    event_field: str | None = "tenant_id"

    def __post_init__(self) -> None:
        if self.event_field is None:
            return
        check_text("TenantIsolation.event_field", self.event_field, '"tenant_id", or None')
        with _naming("TenantIsolation.event_field"):
            with naming_lone_surrogates(ConfigurationError):
                check_path(self.event_field)


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Events of some channels reach only subscribers whose identity matches their data.

    Attributes:
        channel: Channel, or pattern in which `*` matches any characters: `"orders*"`. So does
            `{name}`, as in the template of a subscription; `{{` and `}}` are braces. A manager
            refuses a pattern that covers no channel of a subscription.
        where: Maps a dotted path into the data to the required value: a scalar,
            `"$identity.user_id"` or any other member or claim of the identity, or a list of these.
            A list on either side matches if one of its items does. A missing field never matches.
        unless: Role, or roles, whose identities see every event.

    Raises:
        ConfigurationError: `channel` is not a pattern, `where` is empty or not a mapping, or a path
            or a value in it is invalid.
    """

    channel: str
    where: Mapping[str, Any]
    unless: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        _take_mapping(self, "where", _IDENTITY)
        if not self.where:
            refuse("RowFilter.where", self.where, f"pass at least one condition, {_IDENTITY}")
        check_text("RowFilter.channel", self.channel, '"orders*"')
        _check_keys("RowFilter.where", self.where, _IDENTITY)
        _take_roles(self)
        with _naming("RowFilter.where"):
            with naming_lone_surrogates(ConfigurationError):
                check_rule(self, "RowFilter")


@dataclass(frozen=True, slots=True)
class Scope:
    """Restricts arguments to values of the client's own identity.

    A rule applies to every subscription that has its argument, which the client then must pass. A
    list is allowed if all of its items are.

    Attributes:
        arguments: Maps a GraphQL argument, or a dotted path into an input object, to the allowed
            value: `"$identity.user_id"` or another member or claim, a scalar, or a list of these.
        unless: Role, or roles, whose identities may pass any value.

    Raises:
        ConfigurationError: `arguments` is empty or not a mapping, or a path or a value in it is
            invalid.
    """

    arguments: Mapping[str, Any]
    unless: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        example = 'such as {"userId": "$identity.user_id"}'
        _take_mapping(self, "arguments", example)
        if not self.arguments:
            refuse("Scope.arguments", self.arguments, f"pass at least one, {example}")
        _check_keys("Scope.arguments", self.arguments, example)
        _take_roles(self)
        with _naming("Scope.arguments"):
            with naming_lone_surrogates(ConfigurationError):
                check_rule(self, "Scope")


@dataclass(frozen=True, slots=True)
class RBAC:
    """Permissions that subscriptions and fields require; identities have `permissions`.

    A schema in SDL may also declare them: `@requires(permission: "orders:finance")` on a field, a
    type or an interface; `@authenticated` and `@requiresScopes` of Apollo Federation.

    Attributes:
        fields: Maps `"Type.field"` to the permission; a field of an interface covers all its
            objects.
        subscriptions: Maps a subscription field to the permission.
        on_denied: `"error"` refuses an operation with the path of each denied field; `"null"` makes
            the denied fields null, each with an error. A denied subscription field is always
            refused.

    Raises:
        ConfigurationError: A value has the wrong type, or a key is not a `"Type.field"`. Raised by
            the manager: the schema has no such field.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    subscriptions: Mapping[str, str] = field(default_factory=dict)
    on_denied: OnDenied = "error"

    def __post_init__(self) -> None:
        for name, key in (("fields", "Order.total"), ("subscriptions", "orderUpdated")):
            example = f'such as {{"{key}": "orders:read"}}'
            _take_mapping(self, name, example)
            _check_keys(f"RBAC.{name}", getattr(self, name), example)
            for place, permission in getattr(self, name).items():
                if not (isinstance(permission, str) and permission):
                    remedy = "pass the name of a permission"
                    refuse(f"RBAC.{name}[{place!r}]", permission, remedy)
        for place in self.fields:
            if not _FIELD.fullmatch(place):
                refuse("a key of RBAC.fields", place, 'name a type and its field: "Order.total"')
        for place in self.subscriptions:
            if not _FIELD.fullmatch(f"Subscription.{place}"):
                refuse("a key of RBAC.subscriptions", place, 'name a field: "orderUpdated"')
        _check_choice("RBAC.on_denied", self.on_denied, get_args(OnDenied))


@dataclass(frozen=True, slots=True)
class Federation:
    """Restricts a manager to one subgraph: its channels, its events and requests for it.

    A request names its subgraph in `extensions.subgraph` or the header `x-subgraph`; a request for
    another subgraph is refused.

    Attributes:
        subgraph: Its name.
        channels: Its channels, in which `*` matches any characters; None: its name, and all
            channels that begin with `<name>.` or `<name>:`.

    Raises:
        ConfigurationError: The name is invalid, or a channel is empty. Raised by the manager: a
            subscription uses a channel of another subgraph.
    """

    subgraph: str
    channels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.subgraph, str) and self.subgraph and "*" not in self.subgraph):
            refuse("Federation.subgraph", self.subgraph, 'pass its name, such as "orders"')
        if not has_utf8(self.subgraph):
            refuse("Federation.subgraph", self.subgraph, LONE_SURROGATE)
        if self.channels is not None:
            channels = strings("Federation.channels", self.channels, '["orders*"]')
            object.__setattr__(self, "channels", channels)
        with _naming("Federation.channels"):
            with naming_lone_surrogates(ConfigurationError):
                check_rule(self, "Federation")


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits how often clients may act, as `"10/s"`, `"600/m"` or `"1000/h"`; None: unlimited.

    The number is also the allowed burst.

    Attributes:
        subscribes: Operations: subscriptions, queries, mutations, and documents that are refused;
            past it an operation on a WebSocket is answered with `RATE_LIMITED`, a request with 429.
        messages: Messages of the client; each request over HTTP counts as one. Past it a WebSocket
            is closed with 4429, and a request is answered with 429.
        events: Results of subscriptions; past it they are dropped and counted.
        refusals: Clients of one address that are refused, or disconnect, before they are
            authenticated, with any `per`; past it handshakes and requests of that address are
            answered with 429. None: the value of `messages`.
        per: What is counted together: all connections of one `"identity"`, of one `"address"`, or
            each `"connection"` separately. Clients without an identity are counted by address. IPv6
            addresses are counted by their first 64 bits.

    Raises:
        ConfigurationError: `per` is none of these, or a rate cannot be parsed.
    """

    subscribes: str | None = None
    messages: str | None = None
    events: str | None = None
    refusals: str | None = None
    per: Per = "identity"

    def __post_init__(self) -> None:
        _check_choice("Rates.per", self.per, get_args(Per))
        for name in ("subscribes", "messages", "events", "refusals"):
            rate = getattr(self, name)
            if rate is not None:
                check_text(f"Rates.{name}", rate, '"10/s", or None for no limit')
                with _naming(f"Rates.{name}"):
                    with naming_lone_surrogates(ConfigurationError):
                        check_rate(rate)
        rates = (self.subscribes, self.messages, self.events, self.refusals)
        if all(rate is None for rate in rates):
            raise ConfigurationError(
                'Rates without a rate limits nothing: pass one, such as messages="100/s", or leave '
                "Security.rates out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JWT:
    """JSON Web Tokens, verified by the core; their claims become the client's `Identity`.

    A token needs `exp`, at which the connection is closed with 4403. The server looks for the token
    in the payload of `connection_init`, then in the header, the parameter of the URL and the
    cookie.

    Attributes:
        key: PEM of a public key, or a secret of at least 32 bytes for HS algorithms.
        jwks: A JSON Web Key Set, as text.
        jwks_url: URL of the key set, with `https`, or `http` on this machine. The set is fetched
            for the first client, then every 10 minutes, and for a token whose key is not in it, at
            most every 30 s. If fetching fails, the last keys are used for a day. Pass one of `key`,
            `jwks` and `jwks_url`.
        algorithms: Accepted signature algorithms: HS256, HS384, HS512, RS256, RS384, RS512, PS256,
            PS384, PS512, ES256, ES384, EdDSA. Never `none`.
        audience: Audiences, one of which `aud` has to contain; None: not checked.
        issuer: Issuers, one of which `iss` has to be; None: not checked.
        leeway: Allowed difference of clocks (seconds, at least 0).
        user_claim: Claim with the `user_id`; required in every token. Like the other three, a name,
            or a dotted path below a claim, such as `"realm_access.roles"`.
        tenant_claim: Claim with the `tenant_id`.
        roles_claim: Claim with the `roles`: a list, or a text of words separated by spaces.
        permissions_claim: Claim with the `permissions`, in the same form, such as `"scope"`.
        parameters: Members of the payload of `connection_init` that may contain the token, with or
            without `Bearer` before it.
        header: Header of the handshake that may contain the token; None: none.
        query: Parameter of the URL that may contain the token, for clients that cannot set headers,
            such as `EventSource`; None: none. Proxies write URLs to their logs, so use short-lived
            tokens.
        cookie: Cookie that may contain the token; None: none. Browsers send cookies for pages of
            any site, so this requires `Security.origins`.

    Raises:
        ConfigurationError: There is no key, or more than one, the key does not fit the algorithms,
            or a value has the wrong type.
    """

    key: str | bytes | None = field(default=None, repr=False)
    jwks: str | None = field(default=None, repr=False)
    jwks_url: str | None = None
    algorithms: Sequence[str]
    audience: str | Sequence[str] | None = None
    issuer: str | Sequence[str] | None = None
    leeway: float = 30.0
    user_claim: str = "sub"
    tenant_claim: str = "tenant_id"
    roles_claim: str = "roles"
    permissions_claim: str = "permissions"
    parameters: Sequence[str] = ("authorization", "Authorization", "token")
    header: str | None = "authorization"
    query: str | None = None
    cookie: str | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.key, self.jwks, self.jwks_url)) != 1:
            raise ConfigurationError("JWT needs a key: pass one of `key=`, `jwks=` and `jwks_url=`")
        self._check_texts()
        if self.jwks_url is not None and not _KEYS_URL.match(self.jwks_url):
            # An attacker who can change the response of this URL can sign tokens.
            refuse("JWT.jwks_url", self.jwks_url, "pass a URL that begins with https://")
        if not (is_number(self.leeway) and self.leeway >= 0):
            refuse("JWT.leeway", self.leeway, "pass a number of seconds of at least 0")
        for name in ("audience", "issuer"):
            value = getattr(self, name)
            texts = [value] if isinstance(value, str) else [] if value is None else value
            object.__setattr__(self, name, strings(f"JWT.{name}", texts, '["app"]'))
        for name, example in (("algorithms", '["RS256"]'), ("parameters", '["token"]')):
            texts = strings(f"JWT.{name}", getattr(self, name), example)
            object.__setattr__(self, name, texts)
        if self.header is not None:
            object.__setattr__(self, "header", self.header.lower())
        with naming_lone_surrogates(ConfigurationError):
            check_rule(self, "JWT")

    def _check_texts(self) -> None:
        if not (self.key is None or isinstance(self.key, str | bytes)):
            # Not the value: it may be a secret.
            kind = type(self.key).__name__
            raise ConfigurationError(f"JWT.key is of type {kind}: pass PEM or a secret, as str")
        if isinstance(self.key, str) and not has_utf8(self.key):
            raise ConfigurationError(f"JWT.key: {LONE_SURROGATE}")
        for name, example in (
            ("jwks", "the text of a JSON Web Key Set"),
            ("jwks_url", '"https://auth.example.com/jwks.json"'),
            ("header", "its name, or None"),
            ("cookie", "its name, or None"),
            ("query", "the name of the parameter, or None"),
        ):
            if getattr(self, name) is not None:
                check_text(f"JWT.{name}", getattr(self, name), example)
        for name in ("user_claim", "tenant_claim", "roles_claim", "permissions_claim"):
            check_text(f"JWT.{name}", getattr(self, name), "the name of a claim")


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Certificate and key of a server, both in PEM format; enables TLS 1.2 and 1.3.

    Attributes:
        cert: Path of the certificate chain, the server's own certificate first, or its bytes.
        key: Path of the unencrypted private key, or its bytes.

    Raises:
        ConfigurationError: One is neither a path nor bytes.
    """

    cert: str | Path | bytes
    key: str | Path | bytes = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("cert", "key"):
            value = getattr(self, name)
            if not isinstance(value, str | Path | bytes) or not str(value):
                # Not the value: it may be a secret.
                raise ConfigurationError(
                    f"TLS.{name} is of type {type(value).__name__}: pass the path of a PEM file, "
                    "or its bytes"
                )

    def read(self) -> tuple[bytes, bytes]:
        """Read both files; called at each start of a server.

        Raises:
            ConfigurationError: A file cannot be read.
        """
        return _read_file("TLS.cert", self.cert), _read_file("TLS.key", self.key)


def _read_file(setting: str, source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The checks that a client has to pass. Each is optional; a check that cannot decide denies.

    Attributes:
        authenticate: `async (ConnectionParams) -> Identity | dict | Accepted | None`, called once
            per connection. None or an exception refuses the connection with 4403; the message of a
            `GraphQLError` is sent to the client.
        jwt: Verifies the token of each client. If `authenticate` is also set, the token is verified
            first, and its identity is passed to the hook, which decides.
        tenant: Delivers events only to subscribers of their tenant.
        rows: Delivers events only to subscribers whose identity matches; an event has to pass all
            filters of its channel.
        scope: Restricts arguments to values of the identity.
        rbac: Permissions that subscriptions and fields require.
        federation: Restricts channels, events and requests to one subgraph.
        rates: Limits how often clients may act.
        origins: Origins whose pages may connect, such as `["https://app.example.com"]`,
            `"https://*.example.com"` for all hosts below `example.com`, or `"*"` for any. None: not
            checked. Clients without an `Origin` header pass, unless `Sec-Fetch-Site` shows that a
            page has embedded the request. The server's own pages pass if `hosts` lists its name.
        hosts: Host names that requests may use, such as `["api.example.com"]`, or
            `["*.example.com"]` for all names below `example.com`. None: not checked.
        status_hosts: Additional host names for `/health` and `/metrics` of the embedded server, or
            `["*"]` for any, because orchestrators use the IP address. None: only `hosts`.

    Raises:
        ConfigurationError: `authenticate` is not `async`, or an origin or a host can never match.
    """

    authenticate: Authenticate | None = None
    jwt: JWT | None = None
    tenant: TenantIsolation | None = None
    rows: Sequence[RowFilter] = ()
    scope: Scope | None = None
    rbac: RBAC | None = None
    federation: Federation | None = None
    rates: Rates | None = None
    origins: Sequence[str] | None = None
    hosts: Sequence[str] | None = None
    status_hosts: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.authenticate is not None:
            _check_authenticate(self.authenticate)
        for name, kind in _RULES.items():
            rule = getattr(self, name)
            if rule is not None and not isinstance(rule, kind):
                refuse(f"Security.{name}", rule, f"pass `{kind.__name__}(...)`")
        if not (
            isinstance(self.rows, list | tuple)
            and all(isinstance(rule, RowFilter) for rule in self.rows)
        ):
            refuse("Security.rows", self.rows, "pass a list of `RowFilter(...)`")
        object.__setattr__(self, "rows", tuple(self.rows))
        self._check_hosts()
        if self.jwt is not None and self.jwt.cookie is not None and self.origins is None:
            raise ConfigurationError(
                "JWT.cookie needs Security.origins: browsers send cookies for the pages of others"
            )
        if self.origins is None:
            return
        origins = strings("Security.origins", self.origins, '["https://app.example.com"]')
        for origin in origins:
            try:
                check_origins([origin])
            except ConfigurationError:
                remedy = (
                    "write scheme://host[:port] without a path and in ASCII, as a browser sends "
                    'it, "https://*.example.com" for all hosts below, or "*" for any'
                )
                refuse("an origin in Security.origins", origin, remedy)
        object.__setattr__(self, "origins", origins)

    def _check_hosts(self) -> None:
        for name, example in (("hosts", '["api.example.com"]'), ("status_hosts", '["*"]')):
            value = getattr(self, name)
            if value is None:
                continue
            hosts = strings(f"Security.{name}", value, example)
            if not hosts:
                remedy = f"no client could be answered: pass {example}, or None"
                refuse(f"Security.{name}", value, remedy)
            object.__setattr__(self, name, hosts)
            with _naming(f"Security.{name}"), naming_lone_surrogates(ConfigurationError):
                check_hosts(hosts, name == "status_hosts")
        if self.status_hosts is not None and self.hosts is None:
            raise ConfigurationError(
                "Security.status_hosts adds to Security.hosts, which is None: every host is "
                "answered; pass `hosts=` as well, or leave it out"
            )

    @property
    def is_open(self) -> bool:
        """Whether every client may connect, from any page."""
        checks = (self.authenticate, self.jwt, self.origins, self.hosts)
        return all(check is None for check in checks)


_RULES: dict[str, type] = {
    "jwt": JWT,
    "tenant": TenantIsolation,
    "scope": Scope,
    "rbac": RBAC,
    "federation": Federation,
    "rates": Rates,
}


def _check_authenticate(hook: object) -> None:
    if not _is_async(hook):
        remedy = "write it as `async def authenticate(params: ConnectionParams)`"
        refuse("Security.authenticate", hook, remedy)
    check_callable("Security.authenticate", hook, "params")


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the class of an object may have an async `__call__`
    )


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Add the name of the setting to an error of the core."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None


def _check_keys(place: str, value: Mapping[Any, Any], example: str) -> None:
    for key in value:
        if not isinstance(key, str):
            refuse(f"a key of {place}", key, f"use a string, {example}")


def _take_mapping(rule: object, name: str, example: str) -> None:
    value = getattr(rule, name)
    place = f"{type(rule).__name__}.{name}"
    if not isinstance(value, Mapping):
        refuse(place, value, f"pass a mapping, {example}")
    object.__setattr__(rule, name, dict(value))


def _take_roles(rule: RowFilter | Scope) -> None:
    """Convert one role or several to a tuple; a single string is one role."""
    place = f"{type(rule).__name__}.unless"
    roles = [rule.unless] if isinstance(rule.unless, str) else rule.unless
    object.__setattr__(rule, "unless", strings(place, roles, '"admin" or ["admin"]'))


def _check_choice(place: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        refuse(place, value, "use one of " + ", ".join(f'"{choice}"' for choice in choices))
