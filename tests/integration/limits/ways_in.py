"""Every transport for requests, behind one interface."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import httpx
from support import PATIENCE
from support.event_streams import EVENTS, PARTS
from support.protocol_client import ProtocolClient
from support.urls import http_url

from fraiseql_subs import SubscriptionManager, ValidationError

PAGE = "https://page.example"
"""The page from which clients send requests."""


@dataclass(frozen=True)
class Answer:
    """The answer to one operation.

    Attributes:
        code: `extensions.code` of the first error; None without one.
        status: Over HTTP; None elsewhere.
        headers: Over HTTP.
    """

    code: str | None = None
    status: int | None = None
    headers: Any = field(default_factory=dict)

    @property
    def is_limited(self) -> bool:
        """Whether the answer is a refusal for the rate, in the form of its protocol."""
        if self.status is None:
            return self.code == "RATE_LIMITED"
        if self.status != 429:
            assert self.code != "RATE_LIMITED"
            return False
        assert self.code == "RATE_LIMITED"
        assert int(self.headers["retry-after"]) >= 1
        assert self.headers["access-control-allow-origin"] == PAGE
        assert self.headers["access-control-expose-headers"] == "retry-after"
        return True


def code_of(errors: Any) -> str | None:
    """Return the code of the first of some errors."""
    return errors[0].get("extensions", {}).get("code") if errors else None


Run = Callable[[dict[str, Any]], Any]
"""Runs a request, as `{"query": ...}`; returns its `Answer`."""


def open_http(user: str = "ada", **options: Any) -> httpx.AsyncClient:
    headers = {"origin": PAGE, "authorization": user, **options.pop("headers", {})}
    return httpx.AsyncClient(timeout=PATIENCE, headers=headers, **options)


async def answer_of(response: httpx.Response) -> Answer:
    """Read the first part of an answer; the rest of a stream is not read."""
    kind = response.headers.get("content-type", "")
    errors = None
    if "json" in kind:
        await response.aread()
        errors = response.json().get("errors")
    return Answer(code_of(errors), response.status_code, response.headers)


def by_http(method: str, accept: str) -> Callable[[str], AbstractAsyncContextManager[Run]]:
    @contextlib.asynccontextmanager
    async def way(url: str, user: str = "ada") -> AsyncIterator[Run]:
        async with open_http(user, headers={"accept": accept}) as client:

            async def run(request: dict[str, Any]) -> Answer:
                if method == "GET":
                    texts = {
                        k: v if isinstance(v, str) else json.dumps(v) for k, v in request.items()
                    }
                    sent = client.stream("GET", http_url(url), params=texts)
                else:
                    sent = client.stream("POST", http_url(url), json=request)
                async with sent as response:
                    return await answer_of(response)

            yield run

    return way


@contextlib.asynccontextmanager
async def by_reserved_stream(url: str, user: str = "ada") -> AsyncIterator[Run]:
    ids = itertools.count(1)
    async with open_http(user) as client:
        reserved = await client.put(http_url(url))
        assert reserved.status_code == 201, reserved.text
        headers = {"x-graphql-event-stream-token": reserved.text}
        async with client.stream("GET", http_url(url), headers=headers | {"accept": EVENTS}):

            async def run(request: dict[str, Any]) -> Answer:
                extensions = {**request.get("extensions", {}), "operationId": str(next(ids))}
                asked = {**request, "extensions": extensions}
                return await answer_of(
                    await client.post(http_url(url), json=asked, headers=headers)
                )

            yield run


def by_websocket(subprotocol: str) -> Callable[[str], AbstractAsyncContextManager[Run]]:
    is_older = subprotocol == "graphql-ws"

    @contextlib.asynccontextmanager
    async def way(url: str, user: str = "ada") -> AsyncIterator[Run]:
        ids = itertools.count(1)
        client = await ProtocolClient.connect(url, subprotocols=[subprotocol], origin=PAGE)
        try:
            await client.init({"user": user})

            async def run(request: dict[str, Any]) -> Answer:
                id = str(next(ids))
                begin, end = ("start", "stop") if is_older else ("subscribe", "complete")
                await client.send({"id": id, "type": begin, "payload": request})
                # A stream has its answer then.
                await client.send({"id": id, "type": end})
                if not is_older:
                    await client.send({"type": "ping"})
                errors = None
                while (message := await client.receive())["type"] != "pong":
                    if message["type"] == "error":
                        errors = [message["payload"]] if is_older else message["payload"]
                    if is_older and message["type"] in ("error", "complete"):
                        break
                return Answer(code_of(errors))

            yield run
        finally:
            await client.close()

    return way


WAYS: dict[str, Callable[..., AbstractAsyncContextManager[Run]]] = {
    "GET": by_http("GET", "application/json"),
    "POST": by_http("POST", "application/graphql-response+json"),
    "SSE, distinct connections": by_http("POST", EVENTS),
    "SSE, by GET": by_http("GET", EVENTS),
    "SSE, single connection": by_reserved_stream,
    "multipart": by_http("POST", PARTS),
    "graphql-transport-ws": by_websocket("graphql-transport-ws"),
    "graphql-ws": by_websocket("graphql-ws"),
}
"""The transports over a network; each is opened with a URL for WebSockets, and a user."""


def in_process(manager: SubscriptionManager, identity: Any) -> dict[str, Run]:
    """The transports without a network."""

    async def subscribe(request: dict[str, Any]) -> Answer:
        try:
            async with manager.subscribe(**arguments(request), identity=identity):
                return Answer()
        except ValidationError as refused:
            return Answer(code_of(refused.errors))

    async def execute(request: dict[str, Any]) -> Answer:
        executor = manager.executor
        try:
            id = await executor.register_subscription(**arguments(request), identity=identity)
        except ValidationError as refused:
            return Answer(code_of(refused.errors))
        await executor.complete_subscription(id)
        return Answer()

    def arguments(request: dict[str, Any]) -> dict[str, Any]:
        return {"document": request["query"]}

    return {"subscribe": subscribe, "executor": execute}
