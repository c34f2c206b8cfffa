"""An existing schema's executor is called as it would be without this package.

Its extensions, its rules and a `context_getter` that refuses hold for queries, for introspection,
and for documents that do not parse or do not fit the schema.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import ariadne
import graphql
import httpx
import pytest
import strawberry
from strawberry.extensions import (
    AddValidationRules,
    DisableIntrospection,
    MaskErrors,
    MaxTokensLimiter,
    QueryDepthLimiter,
    SchemaExtension,
)
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import (
    RBAC,
    Context,
    GraphQLError,
    Identity,
    Limits,
    Scope,
    Security,
    SubscriptionManager,
    ValidationError,
    passthrough,
)

REFUSED_DOCUMENTS = {
    "query": "{ hello }",
    "typename": "{ __typename }",
    "introspection": "{ __schema { queryType { name } } }",
    "no syntax": "{ hello",
    "unknown field": "{ nothing }",
    "unknown subscription field": "subscription { nothing }",
    "unresolved operation": "query A { hello } query B { hello }",
    "bad variable": "subscription ($to: Int!) { count(to: $to) }",
}


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "hello"

    @strawberry.field
    def nested(self) -> Query:
        return Query()

    @strawberry.field
    def extensions(self, info: strawberry.Info) -> str | None:
        return str(info.input_extensions)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def asked(self, info: strawberry.Info) -> AsyncGenerator[str, None]:
        yield str(info.input_extensions)


def strawberry_schema(*extensions: Any) -> strawberry.Schema:
    return strawberry.Schema(Query, subscription=Subscription, extensions=extensions)


SDL = """
    type Query { hello: String nested: Query }
    type Subscription { count(to: Int!): Int }
"""


def ariadne_schema() -> Any:
    query, subscription = ariadne.QueryType(), ariadne.SubscriptionType()
    query.set_field("hello", lambda *_: "hello")

    async def count(_: Any, info: Any, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    subscription.set_source("count", count)
    subscription.set_field("count", lambda value, info, to: value)
    return ariadne.make_executable_schema(SDL, query, subscription)


SCHEMAS = {"strawberry": strawberry_schema, "ariadne": ariadne_schema}


async def errors_of(manager: SubscriptionManager, document: str, **options: Any) -> list[Any]:
    """Run an operation and return its errors, from any place in the response."""
    try:
        result = await anext(manager.subscribe(document, **options))
    except ValidationError as error:
        return error.errors
    return result.errors or []


class Recorder(SchemaExtension):
    """Records which hooks are called."""

    seen: list[str]

    def on_operation(self) -> Iterator[None]:
        self.seen.append("operation")
        yield

    def on_parse(self) -> Iterator[None]:
        self.seen.append("parse")
        yield

    def on_validate(self) -> Iterator[None]:
        self.seen.append("validate")
        yield

    def on_execute(self) -> Iterator[None]:
        self.seen.append("execute")
        yield


@pytest.mark.parametrize(
    ("document", "hooks"),
    [
        (REFUSED_DOCUMENTS["query"], ["operation", "parse", "validate", "execute"]),
        (REFUSED_DOCUMENTS["typename"], ["operation", "parse", "validate", "execute"]),
        (REFUSED_DOCUMENTS["introspection"], ["operation", "parse", "validate", "execute"]),
        (REFUSED_DOCUMENTS["no syntax"], ["operation", "parse"]),
        (REFUSED_DOCUMENTS["unknown field"], ["operation", "parse", "validate"]),
        (REFUSED_DOCUMENTS["unknown subscription field"], ["operation", "parse", "validate"]),
        (REFUSED_DOCUMENTS["bad variable"], ["operation", "parse", "validate"]),
    ],
)
async def test_the_hooks_of_extensions_see_every_document(document, hooks):
    seen: list[str] = []
    extension = type("Recorder", (Recorder,), {"seen": seen})
    async with SubscriptionManager(schema=strawberry_schema(extension)) as manager:
        await errors_of(manager, document)
    assert seen == hooks


@pytest.mark.parametrize("server", HTTP_SERVERS)
async def test_introspection_is_off_where_the_schema_has_it_off(server):
    manager = SubscriptionManager(schema=strawberry_schema(DisableIntrospection))
    async with SERVERS[server](manager) as url, httpx.AsyncClient() as client:
        response = await client.post(
            http_url(url), json={"query": REFUSED_DOCUMENTS["introspection"]}
        )
        assert "introspection" in response.json()["errors"][0]["message"]
        assert response.json().get("data") is None
        allowed = await client.post(http_url(url), json={"query": "{ hello }"})
        assert allowed.json() == {"data": {"hello": "hello"}}


class NoNested(graphql.ValidationRule):
    """Refuses one field with its own message."""

    def enter_field(self, node: Any, *_: Any) -> None:
        if node.name.value == "nested":
            self.report_error(graphql.GraphQLError("no nesting here", node))


@pytest.mark.parametrize(
    ("extension", "document", "message"),
    [
        (lambda: MaxTokensLimiter(max_token_count=4), "{ nested { hello } }", "4 tokens"),
        (lambda: QueryDepthLimiter(max_depth=1), "{ nested { nested { hello } } }", "depth"),
        (lambda: AddValidationRules([NoNested]), "{ nested { hello } }", "no nesting here"),
        # In addition to the refusals of this package.
        (lambda: AddValidationRules([NoNested]), "{ nested { nothing } }", "no nesting here"),
        (MaskErrors, "{ nothing }", "Unexpected error."),
        (MaskErrors, "{ nothing", "Unexpected error."),
    ],
)
async def test_the_rules_and_words_of_a_schema_hold(extension, document, message):
    async with SubscriptionManager(schema=strawberry_schema(extension)) as manager:
        errors = await errors_of(manager, document)
    assert any(message in error["message"] for error in errors), errors


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("document", REFUSED_DOCUMENTS.values(), ids=REFUSED_DOCUMENTS.keys())
async def test_a_context_getter_that_refuses_everybody_leaves_nothing_open(name, document):
    def refuse(context: Context) -> Any:
        raise GraphQLError("log in first", extensions={"code": "UNAUTHENTICATED"})

    async with SubscriptionManager(schema=SCHEMAS[name](), context_getter=refuse) as manager:
        errors = await errors_of(manager, document)
    assert errors == [{"message": "log in first", "extensions": {"code": "UNAUTHENTICATED"}}]


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_document_that_is_refused_here_runs_nowhere(name):
    """Also when the executor would accept it."""
    schema = SCHEMAS[name]()
    resolved = []
    core = getattr(schema, "_schema", schema)
    core.query_type.fields["hello"].resolve = lambda *_: resolved.append("hello")
    limits = Limits(max_aliases=1)
    async with SubscriptionManager(schema=schema, limits=limits) as manager:
        for document, message in [
            ("{ a: hello b: hello }", "max_aliases"),
            ("query A { hello } query B { hello }", "operation name"),
        ]:
            errors = await errors_of(manager, document)
            assert message in errors[0]["message"]
    assert resolved == []


@pytest.mark.parametrize("name", SCHEMAS)
async def test_errors_of_refused_documents_keep_their_places(name):
    async with SubscriptionManager(schema=SCHEMAS[name]()) as manager:
        (error,) = await errors_of(manager, "{\n  nothing }")
    assert error["message"] == "Cannot query field 'nothing' on type 'Query'."
    assert error["locations"] == [{"line": 2, "column": 3}]


@pytest.mark.parametrize("name", SCHEMAS)
async def test_introspection_and_faults_need_no_permission(name):
    """Rules about data do not apply to fields without data."""
    security = Security(
        rbac=RBAC(fields={"Query.hello": "secrets:read"}), scope=Scope({"to": "$identity.user_id"})
    )
    async with SubscriptionManager(schema=SCHEMAS[name](), security=security) as manager:
        assert await errors_of(manager, REFUSED_DOCUMENTS["introspection"]) == []
        (error,) = await errors_of(manager, REFUSED_DOCUMENTS["unknown field"])
        assert "Cannot query field" in error["message"]
        (error,) = await errors_of(manager, "{ hello }", identity=Identity("ada"))
        assert error["extensions"]["code"] == "FORBIDDEN"


async def test_refused_documents_are_errors_on_every_transport(serve, connect):
    server = await serve(SubscriptionManager(schema=strawberry_schema()))
    client = await connect(server.url)
    for document in ("{ nothing }", "{ nothing", "subscription { nothing }"):
        id = await client.subscribe(document)
        assert (await client.receive_errors(id))[0]["message"]
        assert not client.has_received
    async with httpx.AsyncClient() as http:
        for accept, status in (
            ("application/json", 200),
            ("application/graphql-response+json", 400),
        ):
            response = await http.post(
                server.http_url, json={"query": "{ nothing }"}, headers={"accept": accept}
            )
            assert response.status_code == status
            assert "data" not in response.json()
        headers = {"accept": "text/event-stream"}
        response = await http.post(server.http_url, json={"query": "{ nothing }"}, headers=headers)
        assert "Cannot query field" in response.text
        assert response.text.endswith("event: complete\ndata:\n\n")


async def test_a_reserved_stream_answers_refused_documents_with_their_own_request(serve):
    """GraphQL over SSE, single connection mode: the POST is answered with the refusal."""
    server = await serve(SubscriptionManager(schema=strawberry_schema(MaskErrors)))

    def refuse(context: Context) -> Any:
        context.response.status = 401
        raise GraphQLError("log in first")

    closed = SubscriptionManager(schema=strawberry_schema(), context_getter=refuse)
    closed_server = await serve(closed)
    async with httpx.AsyncClient() as http:
        for url, status, message in (
            (server.http_url, 400, "Unexpected error."),
            (closed_server.http_url, 401, "log in first"),
        ):
            token = (await http.put(url)).text
            headers = {"x-graphql-event-stream-token": token}
            for query in ("{ nothing }", "{ nothing", "query A { hello } query B { hello }"):
                body = {"query": query, "extensions": {"operationId": "1"}}
                response = await http.post(url, json=body, headers=headers)
                assert response.status_code == status
                assert [error["message"] for error in response.json()["errors"]] == [message]


@pytest.mark.parametrize("name", SCHEMAS)
async def test_a_failing_context_getter_is_a_fault_of_the_server(name, serve, connect, caplog):
    def fail(context: Context) -> Any:
        raise RuntimeError("postgres://admin:secret@db")

    server = await serve(SubscriptionManager(schema=SCHEMAS[name](), context_getter=fail))
    masked = [{"message": "Internal server error"}]
    async with httpx.AsyncClient() as http:
        with caplog.at_level(logging.ERROR, "fraiseql_subs"):
            response = await http.post(server.http_url, json={"query": "query Greet { hello }"})
    assert (response.status_code, response.json()) == (500, {"errors": masked})
    assert "query Greet" in caplog.text and "postgres://admin" in caplog.text
    client = await connect(server.url)
    for document in ("{ hello }", "subscription { count(to: 1) }"):
        id = await client.subscribe(document)
        assert await client.receive_errors(id) == masked


@pytest.mark.parametrize("error", [GraphQLError, graphql.GraphQLError])
async def test_an_error_for_the_client_is_one_wherever_it_is_raised(error):
    """In a `context_getter`, in a root value, in a source stream; of either package."""
    told = {"message": "no such room", "extensions": {"code": "NOT_FOUND"}}

    def raise_it(*_: Any) -> Any:
        raise error("no such room", extensions={"code": "NOT_FOUND"})

    schema = ariadne_schema()
    for options in ({"context_getter": raise_it}, {"root_value": raise_it}):
        async with SubscriptionManager(schema=schema, **options) as manager:
            assert await errors_of(manager, "{ hello }") == [told]

    async def source(*_: Any, to: int) -> AsyncGenerator[int, None]:
        yield 1
        raise_it()

    schema.subscription_type.fields["count"].subscribe = source
    async with SubscriptionManager(schema=schema) as manager:
        results = manager.subscribe("subscription { count(to: 2) }")
        assert (await anext(results)).data == {"count": 1}
        with pytest.raises(ValidationError) as ended:
            await anext(results)
    assert ended.value.errors == [told]


async def test_resolvers_find_the_extensions_of_the_request(serve, connect):
    server = await serve(SubscriptionManager(schema=strawberry_schema()))
    extensions = {"tracing": {"on": True}}
    async with httpx.AsyncClient() as http:
        body = {"query": "{ extensions }", "extensions": extensions}
        response = await http.post(server.http_url, json=body)
    assert response.json() == {"data": {"extensions": str(extensions)}}
    client = await connect(server.url)
    id = await client.subscribe("subscription { asked }", extensions=extensions)
    assert await client.receive_data(id) == {"asked": str(extensions)}


async def test_the_root_value_is_a_value_or_a_function_of_the_context():
    schema = graphql.build_schema("type Query { who: String }")
    for root, context, who in [
        ({"who": "ada"}, None, "ada"),
        (lambda context: {"who": context.value}, "bob", "bob"),
        (_later, "eve", "eve"),
    ]:
        async with SubscriptionManager(schema=schema, root_value=root) as manager:
            result = await anext(manager.subscribe("{ who }", context=context))
        assert result.data == {"who": who}


async def _later(context: Context) -> dict[str, Any]:
    return {"who": context.value}


async def test_a_native_subscription_is_not_the_executors():
    """Extensions of a schema are not called for subscriptions that this package has taken over."""
    seen: list[str] = []
    extension = type("Recorder", (Recorder,), {"seen": seen})
    count = passthrough("count", channel="counts")
    manager = SubscriptionManager([count], schema=strawberry_schema(extension))
    async with manager, manager.subscribe("subscription { count(to: 1) }") as results:
        await manager.publish("counts", 7)
        assert (await anext(results)).data == {"count": 7}
    assert seen == []
