"""Checks settings that several parts of the package accept, when they are passed.

Each error has the name of the setting, its value, and what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ._core import PublishKeys
from ._texts import LONE_SURROGATE, has_utf8
from .config import MAX_DRAIN, Drain, History, is_number, refuse
from .errors import ConfigurationError

PUBLISH_PATH = "/publish"
"""Default path at which programs publish."""

STATUS_PATHS = ("/health", "/health/live", "/health/ready", "/metrics")
"""Paths that the embedded server serves in addition to the GraphQL endpoint."""

MIN_KEY_CHARACTERS = 16
"""Length of the shortest key (characters)."""

PublishSettings: TypeAlias = tuple[str, PublishKeys]
"""The path at which programs publish, and the valid keys."""

_KEY = re.compile(r"[!-~]+")

_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()+,;=:@/]*")


def is_header_text(key: str) -> bool:
    """Whether a header can carry a key: visible ASCII characters alone."""
    return _KEY.fullmatch(key) is not None


class DefaultHost(str):
    """The default host. A host that the caller passed cannot be combined with `unix=`."""

    __slots__ = ()


class DefaultPort(int):
    """The default port."""

    __slots__ = ()


DEFAULT_HOST = DefaultHost("127.0.0.1")
DEFAULT_PORT = DefaultPort(8000)


def check_flag(setting: str, value: object) -> bool:
    """Refuse a value that is neither True nor False."""
    if not isinstance(value, bool):
        refuse(setting, value, "pass True or False")
    return value


def check_proxies(proxies: Collection[str]) -> None:
    """Refuse what names no proxies."""
    setting = "trusted_proxies"
    if isinstance(proxies, str) or not isinstance(proxies, Collection):
        refuse(setting, proxies, 'pass a list such as ["10.0.0.0/8"]')
    for proxy in proxies:
        if not (isinstance(proxy, str) and (proxy == "unix" or _is_network(proxy))):
            refuse(setting, proxy, 'pass addresses, networks such as "10.0.0.0/8", or "unix"')


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def check_workers(value: object) -> None:
    """Refuse what is not a count of threads."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not (is_count and 1 <= value <= 256):  # type: ignore[operator]
        raise ConfigurationError(f"workers={value!r}: pass a count from 1 to 256")


def check_history(value: object) -> None:
    """Refuse what is neither a History nor None."""
    if not (value is None or isinstance(value, History)):
        raise ConfigurationError(
            f"history={value!r}: pass History(events=..., seconds=...), or None for none"
        )


def check_drain(value: object) -> Drain:
    """Return how to drain; refuse what is neither a Drain nor a time from 0 to `MAX_DRAIN`."""
    if isinstance(value, Drain):
        return value
    if not (is_number(value) and isinstance(value, int | float) and 0 <= value <= MAX_DRAIN):
        refuse("drain", value, f"pass a number of seconds from 0 to {MAX_DRAIN}, or Drain(...)")
    return Drain(value)


def _check_utf8(setting: str, value: object) -> None:
    if isinstance(value, str | Path) and not has_utf8(str(value)):
        refuse(setting, value, LONE_SURROGATE)


def check_address(
    host: object,
    port: object,
    unix: object,
    *,
    has_tls: bool,
    reuse_port: bool,
    has_listener: bool = False,
) -> None:
    """Refuse an address that is none, or that contradicts itself."""
    _check_host(host)
    _check_port(port)
    check_flag("reuse_port", reuse_port)
    network = {
        "host": not isinstance(host, DefaultHost),
        "port": not isinstance(port, DefaultPort),
        "reuse_port": reuse_port,
    }
    if has_listener:
        _refuse_beside_listener({**network, "unix": unix is not None})
    if unix is None:
        return
    _check_unix(unix)
    for name in (name for name, is_given in {"tls": has_tls, **network}.items() if is_given):
        raise ConfigurationError(
            f"unix= and {name}=: a Unix socket has no host, port or TLS; use one of them"
        )


def _refuse_beside_listener(given: dict[str, bool]) -> None:
    for name in (name for name, is_given in given.items() if is_given):
        raise ConfigurationError(
            f"listener= and {name}=: a socket that listens has an address; use one of them"
        )


def _check_host(value: object) -> None:
    """Refuse a value that is not a host name or address."""
    _check_utf8("host", value)
    if not (
        isinstance(value, str) and value and has_utf8(value) and not re.search(r"[\s/]", value)
    ):
        refuse("host", value, 'pass a name or an address to bind, such as "127.0.0.1" or "0.0.0.0"')


def _check_port(value: object) -> None:
    """Refuse a value that is not a port."""
    if not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535):
        refuse("port", value, "pass a whole number from 0 to 65535; 0 picks a free port")


def _check_unix(value: object) -> None:
    """Refuse a value that is not the path of a unix socket."""
    _check_utf8("unix", value)
    is_path = isinstance(value, str | Path) and str(value) not in ("", ".")
    if not (is_path and "\0" not in str(value)):
        refuse("unix", value, 'pass the path of a socket, such as "/run/app.sock", or None')


def check_endpoint(value: object) -> None:
    """Refuse a path that the embedded server cannot use as its GraphQL endpoint."""
    _check_path("path", value, 'such as "/graphql"')


def check_root(value: object) -> str:
    """Return the prefix of all paths without a slash at its end; refuse what is none."""
    if value == "":
        return ""
    _check_path("root_path", value, 'such as "/shop"')
    return str(value).rstrip("/")


def check_publishing(keys: object, path: object, endpoint: str) -> PublishSettings | None:
    """Return where programs publish and the keys that they need; None: nowhere.

    Args:
        keys: A key, a collection of keys, or None.
        path: The path where they publish.
        endpoint: The path of the GraphQL endpoint.
    """
    _check_path("publish_path", path, f'such as "{PUBLISH_PATH}"')
    if keys is None:
        if path != PUBLISH_PATH:
            refuse("publish_path", path, "it needs a key as well: set publish_key=")
        return None
    if str(path).rstrip("/") == endpoint.rstrip("/"):
        refuse("publish_path", path, "that is the path of GraphQL: use another")
    if isinstance(keys, str):
        keys = [keys]
    if not isinstance(keys, Iterable) or isinstance(keys, bytes | Mapping):
        _refuse_key(type(keys).__name__)
    listed = list(keys)
    if not listed:
        _refuse_key("an empty list")
    for key in listed:
        if not isinstance(key, str):
            _refuse_key(type(key).__name__)
        if len(key) < MIN_KEY_CHARACTERS or not is_header_text(key):
            _refuse_key(f"a text of {len(key)} characters")
    return str(path), PublishKeys(listed)


def _refuse_key(described: str) -> NoReturn:
    # The error does not contain the key: it is a secret.
    raise ConfigurationError(
        f"publish_key is {described}: pass a random text of at least {MIN_KEY_CHARACTERS} visible"
        " ASCII characters, such as one of `secrets.token_urlsafe(32)`, or a list of such texts"
    )


def _check_path(setting: str, value: object, example: str) -> None:
    """Refuse a path at which the embedded server cannot serve."""
    _check_utf8(setting, value)
    if not (isinstance(value, str) and _PATH.fullmatch(value)):
        remedy = (
            f"use one that begins with `/`, of letters, digits and -._~ and no pattern, {example}"
        )
        refuse(setting, value, remedy)
    bare = value.rstrip("/")
    if bare in STATUS_PATHS:
        remedy = f"that is served to those who watch the server: use another, {example}"
        refuse(setting, value, remedy)
    if any(segment in ("", ".", "..") for segment in bare.split("/")[1:]):
        remedy = f"clients ask for it as another path: use one without gaps, {example}"
        refuse(setting, value, remedy)


def check_route(value: object, *, may_be_empty: bool = False) -> None:
    """Refuse a path that the router of an application cannot match; it may have parameters."""
    _check_utf8("path", value)
    begins = isinstance(value, str) and (value.startswith("/") or (may_be_empty and not value))
    if not begins or re.search(r"[?#\s]", str(value)):
        refuse("path", value, 'pass a path that begins with `/`, without `?` and `#`: "/graphql"')


def items(setting: str, value: object, example: str) -> list[Any]:
    """Return the items of a collection; a string is refused."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        refuse(setting, value, f"pass a list, such as {example}")
    return list(value)
