"""Programs that publish over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from support.waiting import PATIENCE

KEY = "a-key-of-a-test-0123456789"


async def post(url: str, events: Any, *, key: str | None = KEY, **options: Any) -> httpx.Response:
    """Publish an event or a list of events; `events` may be a body as bytes."""
    headers = {"content-type": "application/json", **options.pop("headers", {})}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    body = {"content": events} if isinstance(events, bytes) else {"json": events}
    async with httpx.AsyncClient(timeout=PATIENCE, verify=False, **options) as client:
        return await client.post(url, headers=headers, **body)
