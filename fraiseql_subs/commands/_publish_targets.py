"""Where `fraiseql-subs publish` sends events: an engine, or the endpoint of a server.

Not here: the command line (`publish`).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

from typing_extensions import Self

from .._core import Receipt
from .._daemon import on_daemon_thread
from ..config import History
from ..engines import Nats, Postgres, Redis
from ..errors import FraiseQLSubsError, PublishError
from ..security import TenantIsolation
from ._endpoint import tls_problem
from ._publish_trace import CallersPublisher, CallersTrace

_PLACE = re.compile(r"events\[(?P<index>[0-9]{1,4})\]: ")
"""How a server names the event of a request that it refuses."""

Event: TypeAlias = dict[str, Any]
"""The parameters of `publish` that are given."""


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What became of an event.

    Attributes:
        told: The JSON object that tells it, as the endpoint of a server does.
        may_be_queued: Whether an event without a position is queued; else the engine does not say
            where it is.
    """

    told: dict[str, Any]
    may_be_queued: bool = True

    @classmethod
    def of(cls, receipt: Receipt) -> EventAnswer:
        """Return the answer for a published event."""
        told = {
            "event_id": receipt.event_id,
            "offset": receipt.offset,
            "position": receipt.position,
        }
        return cls(told, may_be_queued=False)

    @classmethod
    def failed(
        cls, message: str, *, retryable: bool = False, outcome: str = "not_sent"
    ) -> EventAnswer:
        """Return the answer for an event that was not published, or may not have been."""
        return cls({"error": message, "retryable": retryable, "outcome": outcome})

    def of_each(self, count: int) -> list[EventAnswer]:
        """Return the answer for each event of a request that was refused as a whole."""
        refused = _PLACE.search(self.told["error"])
        if refused is None or int(refused["index"]) >= count:
            return [self] * count
        message = "another event of the same request was refused"
        answers = [EventAnswer.failed(message, retryable=True)] * count
        told = {**self.told, "error": _PLACE.sub("", self.told["error"], count=1)}
        answers[int(refused["index"])] = EventAnswer(told)
        return answers

    @property
    def is_published(self) -> bool:
        """Whether the event is published, or queued."""
        return "error" not in self.told

    @property
    def text(self) -> str:
        """What it says to people."""
        if self.is_published:
            position = self.told.get("position")
            where = "is published" if position is None else f"is published at {position}"
            if position is None and self.may_be_queued:
                where = "is queued"
            return f"{self.told.get('event_id')} {where}"
        unknown = self.told.get("outcome") == "unknown"
        outcome = "it may have been published" if unknown else "it was not published"
        if self.told.get("retryable"):
            # The cause may be a lost connection, or a configuration that is corrected.
            outcome += ", and publishing it again may succeed once the cause is gone"
        return f"{self.told['error']} ({outcome})"


class Target(Protocol):
    """Publishes events, inside `async with`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def publish(self, events: list[Event]) -> list[EventAnswer]:
        """Publish events in order; return an answer for each."""
        ...


class EngineTarget:
    """Publishes to the engine that servers have."""

    def __init__(
        self,
        bus: str | Redis | Nats | Postgres,
        history: History | None,
        tenant: TenantIsolation | None,
        *,
        timeout: float,
        trace: CallersTrace | None,
    ) -> None:
        self._publisher = CallersPublisher(
            bus, history=history, tenant=tenant, publish_timeout=timeout, trace=trace
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._publisher.close()

    async def publish(self, events: list[Event]) -> list[EventAnswer]:
        """Publish events in order; return an answer for each."""
        return list(await asyncio.gather(*(self._publish(event) for event in events)))

    async def _publish(self, event: Event) -> EventAnswer:
        try:
            return EventAnswer.of(await self._publisher.publish(**event))
        except PublishError as error:
            return EventAnswer.failed(str(error), retryable=error.retryable, outcome=error.outcome)
        except FraiseQLSubsError as error:
            return EventAnswer.failed(str(error))


class HttpTarget:
    """Publishes to the endpoint of a server."""

    def __init__(
        self, url: SplitResult, key: str, timeout: float, trace: CallersTrace | None
    ) -> None:
        self._url = url
        self._key = key
        self._timeout = timeout
        self._trace = {} if trace is None else trace.headers

    @classmethod
    def read(cls, url: str, key: str, timeout: float, trace: CallersTrace | None) -> Self | None:
        """Read a URL; None: it is none."""
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            # The port is read when it is asked for.
            is_plain = parts.port != 0 and not (parts.username or parts.password)
            if parts.hostname and is_plain and url.isascii() and url.isprintable():
                return cls(parts, key, timeout, trace)
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    async def publish(self, events: list[Event]) -> list[EventAnswer]:
        """Publish events in order; return an answer for each."""
        answers = await on_daemon_thread(lambda: self._send(events))
        if isinstance(answers, EventAnswer):
            return answers.of_each(len(events))
        return answers

    def _send(self, events: list[Event]) -> list[EventAnswer] | EventAnswer:
        """Send one request; return an answer for each event, or one for all."""
        try:
            body = json.dumps(events, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            return EventAnswer.failed(f"the events are not JSON: {error}")
        try:
            connection = self._connect()
        except (OSError, ValueError) as error:
            return EventAnswer.failed(f"{self._place}: {self._told(error)}", retryable=True)
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            message = f"{self._place}: {self._told(error)}"
            return EventAnswer.failed(message, retryable=True, outcome="unknown")
        finally:
            connection.close()
        return self._read(response.status, text, len(events))

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        connection.connect()
        return connection

    @property
    def _place(self) -> str:
        return f"{self._url.scheme}://{self._url.netloc}"

    @property
    def _path(self) -> str:
        query = f"?{self._url.query}" if self._url.query else ""
        return (self._url.path or "/") + query

    @property
    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "connection": "close",
            **self._trace,
        }

    def _read(self, status: int, text: bytes, count: int) -> list[EventAnswer] | EventAnswer:
        """Read a response."""
        told: Any = None
        with contextlib.suppress(ValueError):
            told = json.loads(text)
        is_list = isinstance(told, list) and len(told) == count
        if is_list and all(isinstance(each, dict) for each in told):
            return [EventAnswer(each) for each in told]
        if isinstance(told, dict) and "error" in told:
            return EventAnswer(told)
        if status == 404:
            return EventAnswer.failed(
                f"{self._place}{self._path}: nothing is published there (404): start the server"
                " with serve(publish_key=...) or fraiseql-subs serve --publish-key-file, and use"
                " its publish path"
            )
        # It may come from a proxy, which does not say what became of the request.
        message = f"{self._place}{self._path}: an answer that cannot be read (status {status})"
        is_retryable = status >= 500 or status in (408, 429)
        return EventAnswer.failed(message, retryable=is_retryable, outcome="unknown")

    def _told(self, error: Exception) -> str:
        """Return the text of an error, which may be empty."""
        problem = tls_problem(error, has_tls=self._url.scheme == "https")
        return problem or str(error) or type(error).__name__
