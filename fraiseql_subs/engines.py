"""Engines, configured with what a URL cannot say.

Not here: URLs alone, which need none of this.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from ._core import check_bus
from ._texts import LONE_SURROGATE, has_utf8
from .config import refuse

MIN_EVENT_BYTES = 1024
MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bounds of `max_event_bytes` (bytes)."""


@dataclass(frozen=True, slots=True, repr=False)
class Redis:
    """Redis as the engine: `SubscriptionManager(bus=Redis("rediss://host", password=ask))`.

    What is None is as the URL says, or as its default. `repr` shows no password.

    Attributes:
        url: URL as for `bus=`, such as `"redis://127.0.0.1:6379"`.
        username: User of Redis, in place of that in the URL; None: that of the URL, or `default`.
        password: Its password, in place of that in the URL; or a function without parameters that
            returns it, so `Redis("rediss://bus@host", password=ask)` works. The function is
            called before each connection, so a password may change while the program runs. It is
            called on a thread of its own, not on the event loop; it may block, for 10 s at most. If
            it raises, the reason is logged and it is called again later.
        sentinel_password: Password of the sentinels.
        ca: File with the authorities that the server's certificate may come from, as PEM; needs
            `rediss://`.
        client_cert: File with the certificate of this client, as PEM; needs `client_key`.
        client_key: File with its key, as PEM.
        partitions: Parts of the bus: a power of two up to 1,024, the same in all programs.
        prefix: What all keys and channels begin with: 1 to 32 letters, digits, `-`, `_`, `.`.
        max_event_bytes: Size of the largest event (bytes, 1 KiB to 16 MiB; default 1 MiB).
        accept_raw: Whether bare JSON objects that other programs have written are events. False:
            they are counted as `bus_unreadable`, and skipped.

    Raises:
        ConfigurationError: The URL or a setting is wrong; passwords are not shown.
    """

    url: str
    _: KW_ONLY
    username: str | None = None
    password: str | Callable[[], str] | None = field(default=None)
    sentinel_password: str | None = None
    ca: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    partitions: int | None = None
    prefix: str | None = None
    max_event_bytes: int | None = None
    accept_raw: bool = False

    def __post_init__(self) -> None:
        self._check_text("url", self.url, 'a URL, such as "redis://127.0.0.1:6379"')
        for name in ("username", "sentinel_password"):
            remedy = "a string that is not empty, or None"
            self._check_text(name, getattr(self, name), remedy, optional=True)
        remedy = "1 to 32 letters, digits, '-', '_' or '.', such as \"shop\", or None for \"fs1\""
        self._check_text("prefix", self.prefix, remedy, optional=True)
        for name in ("ca", "client_cert", "client_key"):
            path = getattr(self, name)
            if path is not None:
                path = str(path) if isinstance(path, Path) else path
                self._check_text(name, path, "the path of a file")
        self._check_password()
        self._check_count("partitions", 1, 1024)
        self._check_count("max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        if not isinstance(self.accept_raw, bool):
            refuse("Redis.accept_raw", self.accept_raw, "pass True or False")
        check_bus(self)

    @staticmethod
    def _check_text(name: str, value: object, remedy: str, *, optional: bool = False) -> None:
        # The error does not contain the value: it may be a secret.
        if value is None and optional:
            return
        if not isinstance(value, str):
            refuse(f"Redis.{name}", type(value).__name__, f"pass {remedy}")
        if not value:
            refuse(f"Redis.{name}", value, f"pass {remedy}")
        if not has_utf8(value):
            refuse(f"Redis.{name}", "a text", LONE_SURROGATE)

    def _check_password(self) -> None:
        remedy = "a string that is not empty, or a function without parameters that returns one"
        if inspect.iscoroutinefunction(self.password):
            refuse(
                "Redis.password",
                "an async function",
                "pass a plain one: it is called on a thread of its own, where it may block",
            )
        if not callable(self.password):
            self._check_text("password", self.password, remedy, optional=True)

    def _check_count(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if value is None:
            return
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if not (is_count and least <= value <= most):
            refuse(f"Redis.{name}", value, f"pass a count from {least} to {most}")

    def __repr__(self) -> str:
        # A URL may have a password before its hosts, and others among its options.
        scheme, _, rest = self.url.partition("://")
        hosts = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
        return f"Redis('{scheme}://{hosts}')"
