"""Sends an operation over a WebSocket, in both subprotocols.

Importing this needs the extra `cli`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.typing import Subprotocol

from ._endpoint import CONNECT_TIMEOUT, USER_AGENT, Endpoint, cause_of
from ._subscribe_http import BUSY, TOKEN_HINT, refusal_of, retry_after, status_text
from ._subscribe_request import Attempt, ConnectionLost, Result, ServerRefusal, Transport
from ._subscribe_streams import MAX_RESULT, read_result

FINAL = {*range(1002, 1012), 4400, 4401, 4403, 4406, 4409, 4429, 4500} - {1005, 1006}
"""Close codes after which another attempt is no use: 4403, and those of npm's graphql-ws."""

_CLOSE_TIMEOUT = 2.0
_ID = "1"


@dataclass(frozen=True)
class _Dialect:
    """The names that messages of a subprotocol have."""

    start: str
    result: str


_DIALECTS = {
    "graphql-transport-ws": _Dialect("subscribe", "next"),
    "graphql-ws": _Dialect("start", "data"),
}

SUBPROTOCOLS = tuple(_DIALECTS)
"""Those that are offered, the newer one first."""


class _Connect(connect):
    """Follows no redirect, which could lead the token to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def websocket_transport(
    endpoint: Endpoint, subprotocols: Sequence[str], init: dict[str, Any] | None
) -> Transport:
    """Return what sends operations.

    Args:
        endpoint: The server.
        subprotocols: Those that are offered.
        init: The payload of `connection_init`; None: without one.
    """

    async def results(attempt: Attempt) -> AsyncGenerator[Result, None]:
        try:
            socket = await asyncio.wait_for(_open(endpoint, subprotocols, init), CONNECT_TIMEOUT)
            try:
                attempt.connected(socket.subprotocol or "")
                async for result in _results(socket, attempt.payload):
                    yield result
            finally:
                await socket.close()
        except asyncio.TimeoutError:
            raise ConnectionLost(f"no answer within {CONNECT_TIMEOUT:g} s") from None
        except ConnectionClosed as error:
            raise _ended(error) from error
        except InvalidStatus as error:
            response = error.response
            if response.status_code in BUSY:
                text, wait = status_text(response.status_code), retry_after(response.headers)
                raise ConnectionLost(text, retry_after=wait) from error
            raise ServerRefusal(refusal_of(response.status_code, response.headers)) from error
        except (InvalidMessage, OSError) as error:
            raise ConnectionLost(cause_of(error, endpoint)) from error
        except WebSocketException as error:
            raise ServerRefusal(str(error)) from error

    return results


async def _open(
    endpoint: Endpoint, subprotocols: Sequence[str], init: dict[str, Any] | None
) -> ClientConnection:
    """Connect, and return when the server has accepted the client."""
    options: dict[str, Any] = {} if endpoint.unix is None else {"unix": True, "path": endpoint.unix}
    if endpoint.tls is not None:
        options["ssl"] = endpoint.tls
    socket = await _Connect(
        endpoint.ws_url,
        subprotocols=[Subprotocol(name) for name in subprotocols],
        additional_headers=list(endpoint.headers),
        user_agent_header=USER_AGENT,
        max_size=MAX_RESULT,
        open_timeout=None,
        close_timeout=_CLOSE_TIMEOUT,
        **options,
    )
    try:
        if socket.subprotocol is None:
            # The server may say more by its close.
            await socket.recv()
            raise ServerRefusal(f"the server speaks none of {', '.join(subprotocols)}")
        message = {"type": "connection_init"}
        await _send(socket, message if init is None else {**message, "payload": init})
        while (message := await _receive(socket))["type"] != "connection_ack":
            if message["type"] == "connection_error":
                payload = message.get("payload")
                told = payload.get("message") if isinstance(payload, dict) else None
                raise ServerRefusal(f"the client is refused: {told or 'connection_error'}")
    except BaseException:
        await socket.close()
        raise
    return socket


async def _results(
    socket: ClientConnection, payload: dict[str, Any]
) -> AsyncGenerator[Result, None]:
    dialect = _DIALECTS[str(socket.subprotocol)]
    await _send(socket, {"id": _ID, "type": dialect.start, "payload": payload})
    while (message := await _receive(socket))["type"] != "complete":
        told = message.get("payload")
        if message["type"] == dialect.result and isinstance(told, dict):
            yield told
        elif message["type"] == "error":
            yield {"errors": told if isinstance(told, list) else [told]}
            return


async def _send(socket: ClientConnection, message: dict[str, Any]) -> None:
    await socket.send(json.dumps(message))


async def _receive(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message; pings are answered."""
    while True:
        message = read_result(await socket.recv())
        if message.get("type") != "ping":
            return {"type": None, **message}
        answer = {"type": "pong"}
        if "payload" in message:
            answer["payload"] = message["payload"]
        with contextlib.suppress(ConnectionClosed):
            await _send(socket, answer)


def _ended(error: ConnectionClosed) -> ConnectionLost | ServerRefusal:
    close = error.rcvd
    if close is None:
        text = "the server does not answer" if error.sent else "the connection has broken"
        return ConnectionLost(text)
    text = f"the server has closed with {close.code} {close.reason}".rstrip()
    if close.code in (4401, 4403):
        text += f": {TOKEN_HINT}"
    return ServerRefusal(text) if close.code in FINAL else ConnectionLost(text)
