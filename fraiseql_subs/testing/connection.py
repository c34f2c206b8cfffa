"""A connection of a test: graphql-transport-ws, without a socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeAlias

from typing_extensions import Self

from fraiseql_subs._core import Event, settle
from fraiseql_subs.adapters.websocket import GraphQLTransportWSHandler, TextAdapter
from fraiseql_subs.errors import ValidationError
from fraiseql_subs.manager import SubscriptionManager
from fraiseql_subs.testing.real_time import wait
from fraiseql_subs.testing.results import TIMEOUT, ConnectionEnded, TestSubscription
from fraiseql_subs.types import ExecutionResult

_SUBPROTOCOL = "graphql-transport-ws"

_Message: TypeAlias = dict[str, Any] | Exception
"""A message of the server; or why no further one will come, which is the last."""


class _Socket(TextAdapter):
    """The end of the server; messages of the client wait in a queue."""

    def __init__(self, headers: Mapping[str, str], remote: str | None, query: str) -> None:
        self.subprotocols = [_SUBPROTOCOL]
        for name, value in headers.items():
            if not isinstance(value, str):
                raise TypeError(f"headers: the value of {name!r} is {value!r}: write a str")
        self.headers = [(name.lower(), value) for name, value in headers.items()]
        self.remote_address = remote
        self.query_string = query
        self.sent: asyncio.Queue[str | None] = asyncio.Queue()
        self.received: asyncio.Queue[_Message] = asyncio.Queue()
        self.ended: Exception | None = None

    async def accept(self, subprotocol: str | None) -> None:
        pass

    async def receive_text(self) -> str | None:
        return await self.sent.get()

    async def send_json(self, message: Any) -> None:
        if self.ended is None:
            self.received.put_nowait(message)

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        self.end(ConnectionEnded(None, body.decode(), status))
        return True

    async def close(self, code: int, reason: str) -> None:
        self.end(ConnectionEnded(code, reason))

    def is_connected(self) -> bool:
        return self.ended is None

    def end(self, ended: Exception) -> None:
        """Tell the client why no further message will come."""
        if self.ended is None:
            self.ended = ended
            self.received.put_nowait(ended)


class TestConnection:
    """A connection of a test: `async with client.connect(...) as connection`.

    Inside the block `connection_init` is accepted. Created by `TestClient.connect`.
    """

    __test__ = False

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        headers: Mapping[str, str],
        payload: Mapping[str, Any] | None,
        context: Any,
        query_string: str,
        remote_address: str | None,
        timeout: float = TIMEOUT,
    ) -> None:
        if payload is not None and not isinstance(payload, Mapping):
            raise TypeError(f"payload: {payload!r} is no mapping: write a dict")
        self._socket = _Socket(headers, remote_address, query_string)
        self._handler = GraphQLTransportWSHandler(manager)
        self._context = context
        self._payload = payload
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._operations: dict[str, asyncio.Queue[_Message]] = {}
        self._answers: asyncio.Queue[_Message] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._distribute())]
        message: dict[str, Any] = {"type": "connection_init"}
        if self._payload is not None:
            message["payload"] = dict(self._payload)
        try:
            self._send(message)
            await self._answer("connection_ack")
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
        ended = self._socket.ended
        if exc is None and not isinstance(ended, ConnectionEnded | None):
            raise ended

    def subscribe(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        extensions: Mapping[str, Any] | None = None,
    ) -> TestSubscription:
        """Subscribe, or run a query or mutation: `async with connection.subscribe(...) as orders`.

        Entering it raises `ValidationError` if it is refused. Reading its results raises
        `ConnectionEnded` if the connection was closed. Variables and
        extensions may be all that has a JSON form, as in process.
        """
        payload: dict[str, Any] = {"query": document}
        if variables is not None:
            payload["variables"] = dict(variables)
        if operation_name is not None:
            payload["operationName"] = operation_name
        if extensions is not None:
            payload["extensions"] = dict(extensions)
        return TestSubscription(_Operation(self, str(next(self._ids)), payload), self._timeout)

    async def wait_closed(self, *, timeout: float | None = None) -> ConnectionEnded:
        """Wait until the server closes the connection; return its close code and reason.

        Raises:
            AssertionError: It has not closed it in time.
        """
        self._check_entered()
        seconds = self._timeout if timeout is None else timeout
        distributing = self._tasks[1]
        await wait(distributing, seconds)
        ended = self._socket.ended
        if not distributing.done() or ended is None:
            raise AssertionError(f"the connection is not closed after {seconds:g} s")
        if not isinstance(ended, ConnectionEnded):
            raise ended
        return ended

    async def aclose(self) -> None:
        """Close the connection, as the client."""
        if not self._tasks:
            return
        self._socket.sent.put_nowait(None)
        serving, distributing = self._tasks
        await wait(serving, self._timeout)
        for task in (serving, distributing):
            task.cancel()
        await asyncio.gather(serving, distributing, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            await self._handler.handle_connection(self._socket, context=self._context)
        except Exception as error:
            # The test has to see it: what waits for the server would wait in vain.
            self._socket.end(error)

    def _check_entered(self) -> None:
        if not self._tasks:
            raise RuntimeError("the connection is not entered: use it in `async with`")

    def _send(self, message: dict[str, Any]) -> None:
        self._check_entered()
        if self._socket.ended is not None:
            raise self._socket.ended
        # What `json` does not know is converted as in process, such as a UUID.
        text = json.dumps(message, default=lambda value: Event(value).data, allow_nan=False)
        self._socket.sent.put_nowait(text)

    async def _answer(self, kind: str) -> None:
        """Wait for a message that is of no operation."""
        answering = asyncio.ensure_future(self._answers.get())
        try:
            await wait(answering, self._timeout)
            if not answering.done():
                raise AssertionError(f"no {kind} has come in {self._timeout:g} s")
        finally:
            answering.cancel()
        answer = answering.result()
        if isinstance(answer, Exception):
            self._answers.put_nowait(answer)
            raise answer
        assert answer["type"] == kind, answer

    async def _distribute(self) -> None:
        """Pass each message of the server on to its operation."""
        while not isinstance(message := await self._socket.received.get(), Exception):
            if message["type"] == "ping":
                # Further messages, and the reason of the end, may be waiting.
                if self._socket.ended is None:
                    self._send({"type": "pong"})
            elif "id" not in message:
                self._answers.put_nowait(message)
            elif (operation := self._operations.get(message["id"])) is not None:
                operation.put_nowait(message)
        for queue in (self._answers, *self._operations.values()):
            queue.put_nowait(message)


class _Operation:
    """The results of one operation of a connection."""

    def __init__(self, connection: TestConnection, id: str, payload: dict[str, Any]) -> None:
        self._connection = connection
        self._id = id
        self._payload = payload
        self._messages: asyncio.Queue[_Message] = asyncio.Queue()
        self._has_begun = self._has_ended = False
        self._first: _Message | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            # The block is not entered, so nothing else would end the operation.
            await self.aclose()
            raise
        return self

    async def _begin(self) -> None:
        connection = self._connection
        connection._operations[self._id] = self._messages  # noqa: SLF001
        message = {"id": self._id, "type": "subscribe", "payload": self._payload}
        connection._send(message)  # noqa: SLF001
        self._has_begun = True
        # The server has decided about a message when it answers the next one.
        connection._send({"type": "ping"})  # noqa: SLF001
        await connection._answer("pong")  # noqa: SLF001
        # Then the call of `initial=` begins, which does not contain later events.
        await asyncio.gather(*settle(), return_exceptions=True)
        if not self._messages.empty():
            self._first = self._messages.get_nowait()
            if isinstance(self._first, dict) and self._first["type"] == "error":
                await self.__anext__()

    async def __anext__(self) -> ExecutionResult:
        if self._has_ended:
            raise StopAsyncIteration
        first, self._first = self._first, None
        message = await self._messages.get() if first is None else first
        if isinstance(message, Exception):
            self._messages.put_nowait(message)
            raise message
        if message["type"] == "next":
            return ExecutionResult(**message["payload"])
        self._has_ended = True
        if message["type"] == "error":
            errors = message["payload"]
            raise ValidationError(errors[0]["message"], errors)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        connection = self._connection
        connection._operations.pop(self._id, None)  # noqa: SLF001
        is_open = self._has_begun and not self._has_ended
        if is_open and connection._socket.ended is None:  # noqa: SLF001
            connection._send({"id": self._id, "type": "complete"})  # noqa: SLF001
