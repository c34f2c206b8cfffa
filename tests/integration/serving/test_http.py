"""GraphQL over HTTP: behaviour that a transcript of `tests/conformance/http` cannot express."""

from __future__ import annotations

import asyncio
from typing import Any

import graphql
import httpx
import pytest
from support import eventually
from support.node import NodeProcess
from support.progress import clients_left
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import Identity, Security, SubscriptionManager, passthrough

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"

numbers = passthrough("numbers", int, channel="numbers")


def make_schema() -> graphql.GraphQLSchema:
    schema = graphql.build_schema(
        """
        type Query { hello(name: String = "world"): String wait: Int }
        type Mutation { bump: Int }
        type Subscription { numbers: Int }
        """
    )
    bumps = iter(range(1, 100))
    schema.query_type.fields["hello"].resolve = lambda *_, name: f"hello {name}"
    schema.query_type.fields["wait"].resolve = lambda *_: asyncio.Event().wait()
    schema.mutation_type.fields["bump"].resolve = lambda *_: next(bumps)
    return schema


def make_manager(**options: Any) -> SubscriptionManager:
    return SubscriptionManager([numbers], schema=make_schema(), **options)


@pytest.fixture
async def client(serve):
    server = await serve(make_manager())
    async with httpx.AsyncClient(base_url=server.http_url.removesuffix("/graphql")) as client:
        yield client


def post(client: httpx.AsyncClient, body: Any, accept: str = GRAPHQL) -> Any:
    return client.post("/graphql", json=body, headers={"accept": accept})


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_the_audit_suite_of_graphql_http_passes(name):
    async with SERVERS[name](make_manager()) as url:
        async with NodeProcess.run("audit.mjs", http_url(url)) as audit:
            results = await audit.read()
    assert len(results) > 50
    assert [result for result in results if result["status"] != "ok"] == []


async def test_introspection_is_answered(client):
    response = await post(client, {"query": graphql.get_introspection_query()})
    schema = graphql.build_client_schema(response.json()["data"])
    assert list(schema.subscription_type.fields) == ["numbers"]


async def test_the_application_decides_about_each_request(serve):
    async def authenticate(params):
        user = params.headers.get("authorization")
        return None if user is None else Identity(user)

    server = await serve(make_manager(security=Security(authenticate=authenticate)))
    async with httpx.AsyncClient(base_url=server.http_url.removesuffix("/graphql")) as client:
        response = await post(client, {"query": "{ hello }"})
        assert response.status_code == 403
        assert response.json() == {"errors": [{"message": "Forbidden"}]}
        client.headers["authorization"] = "ada"
        assert (await post(client, {"query": "{ hello }"})).status_code == 200


async def test_pages_of_listed_origins_may_read_responses(serve):
    origin = "https://app.example.com"
    server = await serve(make_manager(security=Security(origins=[origin])))
    async with httpx.AsyncClient(base_url=server.http_url.removesuffix("/graphql")) as client:
        ask = {"access-control-request-method": "POST", "origin": origin}
        ask["access-control-request-headers"] = "content-type, authorization"
        preflight = await client.options("/graphql", headers=ask)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == origin
        allowed = preflight.headers["access-control-allow-headers"]
        assert allowed == "content-type, authorization"
        body = {"query": "{ hello }"}
        response = await client.post("/graphql", json=body, headers={"origin": origin})
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers["vary"] == "origin"
        response = await client.post(
            "/graphql", json=body, headers={"origin": "https://evil.example"}
        )
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


async def test_a_client_that_leaves_ends_its_query(serve, within):
    manager = make_manager()
    server = await serve(manager)
    _, writer = await asyncio.open_connection(server.host, server.port)
    body = b'{"query":"{ wait }"}'
    head = f"POST {server.path} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    await eventually(lambda: manager.metrics().subscriptions, "the query runs")
    writer.close()
    await eventually(lambda: not manager.metrics().subscriptions, "the query is ended")
    await clients_left(manager)
