"""Status, headers and cookies that resolvers set for the response to a query or mutation."""

from __future__ import annotations

from typing import Any

import graphql
import httpx
import pytest
import strawberry
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import Context, GraphQLError, ResponseHead, SubscriptionManager


@strawberry.type
class Query:
    @strawberry.field
    def login(self, info: strawberry.Info) -> str:
        response = info.context["response"]
        response.headers["X-Served-By"] = "ada"
        response.headers.append("link", "</a>")
        response.headers.append("link", "</b>")
        response.set_cookie("session", "s3cret", httponly=True, secure=True, max_age=60)
        return "ok"

    @strawberry.field
    def teapot(self, info: strawberry.Info) -> str:
        info.context["response"].status_code = 418
        return "short"

    @strawberry.field
    def missing(self, info: strawberry.Info) -> str:
        info.context["response"].status = 404
        raise GraphQLError("no such thing")


def own_response(context: Context) -> dict[str, Any]:
    return {"response": context.response}


def make_manager() -> SubscriptionManager:
    return SubscriptionManager(schema=strawberry.Schema(Query), context_getter=own_response)


@pytest.mark.parametrize("server", HTTP_SERVERS)
async def test_headers_cookies_and_status_leave_with_the_answer(server):
    async with SERVERS[server](make_manager()) as url, httpx.AsyncClient() as client:
        response = await client.post(http_url(url), json={"query": "{ login }"})
        assert response.json() == {"data": {"login": "ok"}}
        assert response.headers["x-served-by"] == "ada"
        assert response.headers.get_list("link") == ["</a>", "</b>"]
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("session=s3cret;")
        for attribute in ("HttpOnly", "Secure", "Max-Age=60", "Path=/", "SameSite=lax"):
            assert attribute in cookie
        response = await client.get(http_url(url), params={"query": "{ teapot }"})
        assert (response.status_code, response.json()) == (418, {"data": {"teapot": "short"}})
        response = await client.post(http_url(url), json={"query": "{ missing }"})
        assert response.status_code == 404
        assert response.json()["errors"][0]["message"] == "no such thing"


async def test_a_context_getter_refuses_with_a_status_of_its_own(serve):
    def refuse(context: Context) -> Any:
        context.response.status = 401
        context.response.headers["www-authenticate"] = "Bearer"
        raise GraphQLError("log in first")

    manager = SubscriptionManager(schema=strawberry.Schema(Query), context_getter=refuse)
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        for query in ("{ login }", "{ __typename }", "{ nothing"):
            response = await client.post(server.http_url, json={"query": query})
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json() == {"errors": [{"message": "log in first"}]}


async def test_there_is_no_head_over_websocket(serve, connect):
    client = await connect((await serve(make_manager())).url)
    id = await client.subscribe("{ login teapot }")
    assert await client.receive_data(id) == {"login": "ok", "teapot": "short"}


def test_what_cannot_be_sent_is_refused_where_it_is_set():
    head = ResponseHead()
    for name, value in [
        ("x-line", "a\r\nset-cookie: b"),
        ("x-letters", "é"),
        ("x-number", 7),
        ("bad name", "a"),
        ("", "a"),
        ("Content-Length", "1"),
        ("content-type", "text/html"),
        ("transfer-encoding", "chunked"),
    ]:
        for put in (head.headers.append, head.headers.__setitem__):
            with pytest.raises(ValueError, match="header"):
                put(name, value)
    for status in (100, 204, 304, 600, "200", 2.5):
        with pytest.raises(ValueError, match="status"):
            head.status = status
    with pytest.raises(ValueError):
        head.set_cookie("a\nb", "c")
    assert head.headers.multi_items() == []


def test_headers_are_a_mapping_without_regard_to_case():
    headers = ResponseHead().headers
    headers["X-One"] = "1"
    headers.append("x-one", "2")
    assert headers["x-ONE"] == "1"
    assert (len(headers), list(headers)) == (1, ["x-one"])
    headers["x-one"] = "3"
    assert headers.multi_items() == [("x-one", "3")]
    del headers["X-One"]
    assert "x-one" not in headers and headers.get("x-one") is None
    with pytest.raises(KeyError):
        del headers["x-one"]


async def test_a_cookie_is_deleted(serve):
    schema = graphql.build_schema("type Query { logout: Boolean }")

    def logout(_: Any, info: Any) -> bool:
        info.context.response.delete_cookie("session")
        return True

    schema.query_type.fields["logout"].resolve = logout
    server = await serve(SubscriptionManager(schema=schema))
    async with httpx.AsyncClient(cookies={"session": "s3cret"}) as client:
        response = await client.post(server.http_url, json={"query": "{ logout }"})
    assert response.headers["set-cookie"].startswith('session=""')
    assert "Max-Age=0" in response.headers["set-cookie"]
