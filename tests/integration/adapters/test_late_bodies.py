"""A client sends half of a body, to each server that serves over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import address_of

from fraiseql_subs import Limits, SubscriptionManager, passthrough

HEAD = (
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_half_a_body_is_answered_with_408_and_the_connection_ends(name, within):
    feed = passthrough("feed", int, channel="feed")
    manager = SubscriptionManager([feed], limits=Limits(request_timeout=0.2, max_connections=1))
    async with SERVERS[name](manager) as url:
        reader, writer = await asyncio.open_connection(*address_of(url))
        writer.write(HEAD % 100 + b'{"query": ')
        response = await within(reader.read())
        assert response.startswith(b"HTTP/1.1 408 ")
        assert b"the body took too long: send it faster" in response
        writer.close()
        # Its place is free again.
        reader, writer = await asyncio.open_connection(*address_of(url))
        body = b'{"query": "{ __typename }"}'
        writer.write(HEAD % len(body) + body)
        assert b" 200 " in await within(reader.readline())
        writer.close()
