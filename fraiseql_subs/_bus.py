"""What carries events between processes, as it is configured.

Not here: what a URL may hold, which the engines read themselves; engines with more than a URL
(`engines`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from ._core import check_bus
from ._texts import LONE_SURROGATE, has_utf8
from .config import is_number, refuse
from .engines import Nats, Postgres, Redis

OnUnavailable: TypeAlias = Literal["wait", "fail", "queue"]
"""What publishing does while the engine cannot be reached."""

MEMORY = "memory://"
"""The bus of one process."""

MAX_PUBLISH_TIMEOUT = 3600
"""Seconds that a publisher may wait for the engine at most."""


@dataclass(frozen=True, slots=True)
class BusOptions:
    """Which engine carries events between processes, and how publishing waits for it.

    Attributes:
        bus: A URL, or an engine with what a URL cannot say.
        on_unavailable: What publishing does while the engine cannot be reached.
        publish_timeout: Time that `publish` waits for the engine's answer (seconds).
        sources: What enters the engine through one of the nodes.

    Raises:
        ConfigurationError: An argument is out of its range. The URL is not shown, as it may hold a
            password.
    """

    bus: str | Redis | Nats | Postgres = field(default=MEMORY, repr=False)
    on_unavailable: OnUnavailable = "wait"
    publish_timeout: float = 5.0
    sources: Sequence[Postgres] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.bus, str | Redis | Nats | Postgres):
            # Not the value: it may hold a password.
            kind = type(self.bus).__name__
            url = '"redis://127.0.0.1:6379"'
            remedy = (
                f"pass a URL as a string, such as {url}, or Redis(...), Nats(...) or Postgres(...)"
            )
            refuse("bus", kind, remedy)
        if isinstance(self.bus, str):
            if not has_utf8(self.bus):
                refuse("bus", "a text", LONE_SURROGATE)
            check_bus(self.bus)
        allowed = get_args(OnUnavailable)
        if self.on_unavailable not in allowed:
            refuse("on_unavailable", self.on_unavailable, f"pass one of {', '.join(allowed)}")
        if not (
            is_number(self.publish_timeout) and 0 < self.publish_timeout <= MAX_PUBLISH_TIMEOUT
        ):
            refuse(
                "publish_timeout",
                self.publish_timeout,
                f"pass a number of seconds above 0, at most {MAX_PUBLISH_TIMEOUT}",
            )
        self._check_sources()

    def _check_sources(self) -> None:
        # Not the values: they may hold a password.
        if not isinstance(self.sources, Sequence) or isinstance(self.sources, str):
            refuse("sources", type(self.sources).__name__, "pass a list of Postgres(...)")
        for index, source in enumerate(self.sources):
            if not isinstance(source, Postgres):
                refuse(f"sources[{index}]", type(source).__name__, "pass Postgres(...)")
        if isinstance(self.bus, Postgres) and self.bus.slot is not None:
            remedy = "leave it out: each node of a bus has a slot of its own; sources= have one"
            refuse("bus: Postgres.slot", self.bus.slot, remedy)
        slots = [(source.url, source.slot) for source in self.sources]
        if len(set(slots)) < len(slots):
            refuse("sources", "the same URL and slot twice", "pass each database once")

    @property
    def url(self) -> str:
        """URL of the engine; it may hold a password."""
        return self.bus if isinstance(self.bus, str) else self.bus.url

    @property
    def has_transactions(self) -> bool:
        """Whether an event can be part of a transaction of PostgreSQL."""
        return bool(self.sources) or self.url.startswith(("postgresql://", "postgres://"))
