"""The FastAPI router: its dependencies return the context, or refuse the client."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from asking import ask, ask_by_http, whoami
from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import HTTPConnection
from support.protocol_client import ProtocolClient
from support.servers import uvicorn, ws_url
from websockets.exceptions import InvalidStatus

from fraiseql_subs import SubscriptionManager
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory


def token(connection: HTTPConnection) -> str:
    if "x-user" not in connection.headers:
        raise HTTPException(401, "who are you?")
    return connection.headers["x-user"]


async def user(name: Annotated[str, Depends(token)]) -> str:
    return f"user {name}"


async def test_a_dependency_of_fastapi_reaches_resolvers():
    manager = SubscriptionManager([whoami])
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory(manager, context=user).create_router())
    async with manager, uvicorn(app) as host:
        url = ws_url(host)
        assert await ask(url, "whoami", additional_headers={"x-user": "ada"}) == "user ada"
        assert await ask_by_http(url, "whoami", **{"x-user": "ada"}) == "user ada"
        with pytest.raises(InvalidStatus):
            await ProtocolClient.connect(url)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await ask_by_http(url, "whoami")


async def test_dependencies_of_a_fastapi_router_may_refuse():
    def closed() -> None:
        raise HTTPException(402, "pay first")

    manager = SubscriptionManager([whoami])
    app = FastAPI()
    factory = SubscriptionRouterFactory(manager)
    app.include_router(factory.create_router("/live", dependencies=[Depends(closed)]))
    async with manager, uvicorn(app) as host, httpx.AsyncClient() as client:
        response = await client.post(f"http://{host}/live", json={"query": "{ __typename }"})
        assert response.status_code == 402
