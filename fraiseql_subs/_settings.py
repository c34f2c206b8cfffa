"""Checks settings that several parts of the package accept, when they are passed.

Each error has the name of the setting, its value, and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ._texts import LONE_SURROGATE, has_utf8
from .config import History, is_number, refuse
from .errors import ConfigurationError

MAX_DRAIN = 24 * 3600
"""Longest drain (seconds)."""

_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()+,;=:@/]*")

# Paths that the embedded server serves in addition to the GraphQL endpoint.
_STATUS_PATHS = ("/health", "/health/live", "/health/ready", "/metrics")


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
        refuse(setting, value, "give True or False")
    return value


def check_history(value: object) -> None:
    """Refuse what is neither a History nor None."""
    if not (value is None or isinstance(value, History)):
        raise ConfigurationError(
            f"history={value!r}: give History(events=..., seconds=...), or None for none"
        )


def check_drain(value: object) -> float:
    """Refuse a value that is not a time in seconds, from 0 to `MAX_DRAIN`."""
    if not (is_number(value) and isinstance(value, int | float) and 0 <= value <= MAX_DRAIN):
        refuse("drain", value, f"give a number of seconds from 0 to {MAX_DRAIN}")
    return value


def _check_utf8(setting: str, value: object) -> None:
    if isinstance(value, str | Path) and not has_utf8(str(value)):
        refuse(setting, value, LONE_SURROGATE)


def check_host(value: object) -> None:
    """Refuse a value that is not a host name or address."""
    _check_utf8("host", value)
    if not (
        isinstance(value, str) and value and has_utf8(value) and not re.search(r"[\s/]", value)
    ):
        refuse("host", value, 'give a name or an address to bind, such as "127.0.0.1" or "0.0.0.0"')


def check_port(value: object) -> None:
    """Refuse a value that is not a port."""
    if not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535):
        refuse("port", value, "give a whole number from 0 to 65535; 0 picks a free port")


def check_unix(value: object) -> None:
    """Refuse a value that is not the path of a unix socket."""
    _check_utf8("unix", value)
    is_path = isinstance(value, str | Path) and str(value) not in ("", ".")
    if not (is_path and "\0" not in str(value)):
        refuse("unix", value, 'give the path of a socket, such as "/run/app.sock", or None')


def check_endpoint(value: object) -> None:
    """Refuse a path that the embedded server cannot use as its GraphQL endpoint."""
    _check_utf8("path", value)
    example = 'such as "/graphql"'
    if not (isinstance(value, str) and _PATH.fullmatch(value)):
        remedy = (
            f"give one that begins with `/`, of letters, digits and -._~ and no pattern, {example}"
        )
        refuse("path", value, remedy)
    bare = value.rstrip("/")
    if bare in _STATUS_PATHS:
        refuse(
            "path", value, f"that is served to those who watch the server: give another, {example}"
        )
    if any(segment in ("", ".", "..") for segment in bare.split("/")[1:]):
        refuse(
            "path", value, f"clients ask for it as another path: give one without gaps, {example}"
        )


def check_route(value: object, *, may_be_empty: bool = False) -> None:
    """Refuse a path that the router of an application cannot match; it may have parameters."""
    _check_utf8("path", value)
    begins = isinstance(value, str) and (value.startswith("/") or (may_be_empty and not value))
    if not begins or re.search(r"[?#\s]", str(value)):
        refuse("path", value, 'give a path that begins with `/`, without `?` and `#`: "/graphql"')


def items(setting: str, value: object, example: str) -> list[Any]:
    """Return the items of a collection; a string is refused."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        refuse(setting, value, f"give a list, such as {example}")
    return list(value)
