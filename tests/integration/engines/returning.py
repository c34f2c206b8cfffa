"""Clients that disconnect from one node and reconnect to another."""

from __future__ import annotations

import json
from typing import Any

from support.event_streams import Body
from support.protocol_client import ProtocolClient

BEGIN: dict[str, Any] = {"resume": {}}


def after(id: str) -> dict[str, Any]:
    return {"resume": {"after": id}}


def query(field: str) -> str:
    return f"subscription {{ {field} }}"


def place(result: dict[str, Any]) -> dict[str, Any]:
    """Return the `resume` extension of a result."""
    return result["extensions"]["resume"]


async def begin(client: ProtocolClient, field: str = "feed") -> str:
    """Subscribe for the first time; return the id to resume with."""
    await client.subscribe(query(field), extensions=BEGIN)
    first = await client.receive_next()
    assert first["data"] is None and place(first)["missed"] is False, first
    return place(first)["id"]


async def numbers(client: ProtocolClient, count: int) -> tuple[list[int], str]:
    """Return the numbers of the next results, and the id of the last one."""
    seen, id = [], ""
    for _ in range(count):
        result = await client.receive_next()
        assert result["data"] is not None, result
        (number,) = result["data"].values()
        seen.append(number)
        id = place(result)["id"]
    return seen, id


async def told_missed(client: ProtocolClient) -> str | None:
    """Receive the result that says that events are missing; return its id."""
    result = await client.receive_next()
    assert result["data"] is None and place(result)["missed"] is True, result
    return place(result).get("id")


async def next_event(body: Body) -> dict[str, str]:
    """Return the next event of a stream by its fields; comments are left out."""
    while True:
        lines = (await body.read_until("\n\n")).splitlines()
        fields = dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))
        if fields:
            return fields


def data_of(event: dict[str, str]) -> int | None:
    """Return the number of an event of a stream."""
    data = json.loads(event["data"])["data"]
    return None if data is None else next(iter(data.values()))
