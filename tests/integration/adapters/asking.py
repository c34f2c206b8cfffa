"""Clients that request one value, over a WebSocket and over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
from support import PATIENCE
from support.protocol_client import ProtocolClient
from support.urls import http_url

from fraiseql_subs import Context, subscription

EVENTS = {"accept": "text/event-stream"}


@subscription(channel="whoami", initial=lambda context: f"{context.value}")
async def whoami(event, context: Context) -> str:
    return f"{context.value}"


async def ask(url: str, field: str, **options: Any) -> Any:
    """Return the initial value of a field over a WebSocket."""
    client = await ProtocolClient.connect(url, **options)
    await client.init()
    await client.subscribe(f"subscription {{ {field} }}")
    data = await client.receive_data()
    await client.close()
    return data[field]


async def ask_by_http(url: str, field: str, **headers: str) -> Any:
    """Return the initial value of a field over an event stream."""
    url, body = http_url(url), {"query": f"subscription {{ {field} }}"}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", url, json=body, headers={**EVENTS, **headers}) as response,
    ):
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))["data"][field]
