"""Credentials in the URL: the query of a request in hooks and resolvers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS
from support.tokens import SECRET, token
from support.urls import http_url

from fraiseql_subs import (
    JWT,
    ConnectionParams,
    Context,
    Identity,
    Security,
    SubscriptionManager,
    subscription,
)

QUERY_STRING = "token=a%2Fb+c&empty=&token=d&%C3%A9=%E2%82%AC"
QUERY = {"token": "a/b c", "empty": "", "é": "€"}


@subscription
async def told(context: Context) -> AsyncIterator[str]:
    yield json.dumps([context.params.query, context.params.query_string])


class Asked:
    """A manager that records the parameters of its hook."""

    def __init__(self) -> None:
        self.params: list[ConnectionParams] = []
        self.manager = SubscriptionManager([told], security=Security(authenticate=self.hook))

    async def hook(self, params: ConnectionParams) -> Identity | None:
        self.params.append(params)
        return Identity("ada") if params.query.get("token") == "a/b c" else None


@asynccontextmanager
async def client_of(name: str, manager: SubscriptionManager) -> AsyncIterator[httpx.AsyncClient]:
    async with SERVERS[name](manager) as url:
        base = http_url(url)
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as client:
            yield client


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
@pytest.mark.parametrize("name", SERVERS)
async def test_the_query_of_a_handshake_is_known(name, protocol):
    asked = Asked()
    async with SERVERS[name](asked.manager) as url:
        client = await ProtocolClient.connect(f"{url}?{QUERY_STRING}", subprotocols=[protocol])
        await client.init()
        await client.close()
    (params,) = asked.params
    assert (params.query, params.query_string) == (QUERY, QUERY_STRING)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_the_query_of_a_request_is_known_to_hook_and_resolvers(name):
    asked = Asked()
    accept = {"accept": "text/event-stream"}
    document = "subscription { told }"
    async with client_of(name, asked.manager) as client:
        url = f"?{QUERY_STRING}"
        by_get = await client.get(f"{url}&query={document}", headers=accept)
        by_post = await client.post(url, json={"query": document}, headers=accept)
        reserved = await client.put(url)
        refused = await client.post("", json={"query": document}, headers=accept)
    assert reserved.status_code == 201
    assert refused.status_code == 403
    for response in (by_get, by_post):
        (line,) = (line for line in response.text.splitlines() if line.startswith("data: {"))
        query, query_string = json.loads(json.loads(line[6:])["data"]["told"])
        assert query_string.startswith(QUERY_STRING)
        assert query.items() >= QUERY.items()
    assert [params.query.get("token") for params in asked.params] == ["a/b c"] * 3 + [None]
    assert asked.params[-1].query == {} and asked.params[-1].query_string == ""


@pytest.mark.parametrize("name", ["embedded", "starlette", "asgi-hypercorn"])
async def test_a_token_in_the_url_is_verified_where_that_is_asked_for(name):
    def manager(**options: Any) -> SubscriptionManager:
        security = Security(jwt=JWT(key=SECRET, algorithms=["HS256"], **options))
        return SubscriptionManager([told], security=security)

    ask = {"token": token(), "query": "{ __typename }"}
    async with client_of(name, manager(query="token")) as client:
        assert (await client.get("", params=ask)).status_code == 200
        assert (await client.get("", params={**ask, "token": "x"})).status_code == 403
    async with client_of(name, manager()) as client:
        assert (await client.get("", params=ask)).status_code == 403
