"""Subscriptions over HTTP, read byte by byte."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from support.waiting import PATIENCE

EVENTS = "text/event-stream"
PARTS = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'


@contextlib.asynccontextmanager
async def opened(
    url: str,
    query: str,
    accept: str,
    *,
    extensions: dict[str, Any] | None = None,
    **headers: str,
) -> AsyncIterator[Any]:
    """Subscribe by POST; yield the response and a reader of its body."""
    headers = {"accept": accept, **{name.replace("_", "-"): headers[name] for name in headers}}
    request = {"query": query, "extensions": extensions}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", url, json=request, headers=headers) as response,
    ):
        yield response, Body(response)


class Body:
    """A streamed body."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.aiter_text()
        self._text = ""

    async def read_until(self, end: str) -> str:
        """Return the bytes up to and including `end`."""
        while end not in self._text:
            self._text += await anext(self._chunks)
        found, _, self._text = self._text.partition(end)
        return found + end
