"""The command `fraiseql-subs subscribe`: each protocol, and what it sends and prints."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import pytest
import strawberry
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.programs import ENVIRONMENT
from support.subscribing_command import subscribe, subscribing

from fraiseql_subs import Identity, Security, SubscriptionManager, passthrough, subscription

ORDERS = "subscription { orders }"


def orders(**options) -> SubscriptionManager:
    return SubscriptionManager([passthrough("orders", str, channel="orders")], workers=1, **options)


async def subscribed(manager: SubscriptionManager) -> None:
    await eventually(lambda: manager.metrics().subscriptions == 1, "the command has subscribed")


@pytest.mark.parametrize(
    ("scheme", "protocol", "used"),
    [
        ("ws", "auto", "graphql-transport-ws"),
        ("ws", "graphql-transport-ws", "graphql-transport-ws"),
        ("http", "graphql-ws", "graphql-ws"),
        ("http", "auto", "sse"),
        ("ws", "sse", "sse"),
        ("http", "multipart", "multipart"),
    ],
)
async def test_results_arrive_over_each_protocol(serve, scheme, protocol, used):
    manager = orders()
    server = await serve(manager)
    url = server.url if scheme == "ws" else server.http_url
    async with subscribing(url, ORDERS, "--protocol", protocol, "--count", "2") as command:
        assert f"by {used}\n" in await command.says("connected to")
        await subscribed(manager)
        # One of them has separators of lines that JSON does not escape.
        for text in ("paid", "a\u2028b\r\n\x85"):
            await manager.publish("orders", text)
            assert await command.data() == text
        status, out, said = await command.ends()
    assert (status, out) == (0, "") and said.endswith("2 results\n")
    await eventually(lambda: manager.metrics().connections == 0, "it has disconnected")


async def test_a_server_chooses_among_the_subprotocols(serve):
    manager = orders(transports=["graphql-ws"])
    server = await serve(manager)
    async with subscribing(server.url, ORDERS) as command:
        assert "by graphql-ws\n" in await command.says("connected to")


@pytest.mark.parametrize("form", ["unix:{}", "unix:{}:/graphql", "ws", "http"])
async def test_a_unix_socket_is_reached_by_each_form_of_its_url(stack, tmp_path, form):
    manager = orders()
    path = tmp_path / "app.sock"
    server = await stack.enter_async_context(manager.serve(unix=path, drain=0.0))
    url = {"ws": server.url, "http": server.http_url}.get(form) or form.format(path)
    async with subscribing(url, ORDERS, "--count", "1") as command:
        await subscribed(manager)
        await manager.publish("orders", "paid")
        assert await command.data() == "paid"
        assert (await command.ends())[0] == 0


@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_certificates_are_verified(serve, tmp_path, scheme):
    credentials = Credentials(tmp_path)
    server = await serve(orders(), tls=credentials.tls)
    url = f"{scheme}://127.0.0.1:{server.port}/graphql"
    status, _, said = await subscribe(url, "{ __typename }")
    assert status == 1 and "certificate is not trusted" in said and "--ca" in said
    for options in (["--insecure"], ["--ca", str(credentials.authorities)]):
        status, out, said = await subscribe(url, "{ __typename }", *options)
        assert (status, json.loads(out)) == (0, {"data": {"__typename": "Query"}}), said


@pytest.mark.parametrize("scheme", ["ws", "wss", "http", "https"])
async def test_a_url_of_the_other_kind_says_which_to_write(serve, tmp_path, scheme):
    has_tls = scheme in ("ws", "http")
    server = await serve(orders(), tls=Credentials(tmp_path).tls if has_tls else None)
    url = f"{scheme}://127.0.0.1:{server.port}/graphql"
    status, out, said = await subscribe(url, "subscription { orders }")
    assert (status, out) == (1, "")
    advice = "write wss:// or https://" if has_tls else "does not speak TLS there: write ws://"
    assert advice in said and len(said.splitlines()) == 1, said


@strawberry.type
class Query:
    @strawberry.field
    def order(self, id: int = 0) -> str:
        return f"order {id}"

    @strawberry.field
    def broken(self) -> str:
        raise ValueError("not for clients")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def pay(self) -> str:
        return "paid"


@pytest.mark.parametrize("options", [[], ["--protocol", "sse"], ["--protocol", "graphql-ws"]])
@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_queries_and_mutations_have_one_result(serve, scheme, options):
    manager = SubscriptionManager(schema=strawberry.Schema(Query, Mutation))
    server = await serve(manager)
    url = server.url if scheme == "ws" else server.http_url
    status, out, said = await subscribe(url, "mutation { pay }", *options)
    assert (status, json.loads(out)) == (0, {"data": {"pay": "paid"}})
    assert said.endswith("1 result\n")
    # An error of a result is one of the command.
    status, out, _ = await subscribe(url, "{ broken }", *options)
    assert status == 1 and json.loads(out)["errors"][0]["path"] == ["broken"]


async def test_documents_and_variables_are_read_from_files_and_stdin(serve, tmp_path):
    server = await serve(SubscriptionManager(schema=strawberry.Schema(Query)))
    document = "query One { order } query Two($id: Int!) { order(id: $id) }"
    (tmp_path / "orders.graphql").write_text(document, encoding="utf-8-sig")
    (tmp_path / "variables.json").write_text('{"id": 7}')

    async def asked(*arguments: str, stdin: bytes = b"") -> str:
        status, out, said = await subscribe(server.url, *arguments, cwd=tmp_path, stdin=stdin)
        assert status == 0, (out, said)
        return json.loads(out)["data"]["order"]

    named = ("--operation", "Two", "--variables")
    assert await asked("@orders.graphql", *named, "@variables.json") == "order 7"
    assert await asked("-", *named, '{"id": 8}', stdin=document.encode()) == "order 8"
    assert await asked("@orders.graphql", *named, "-", stdin=b'{"id": 9}') == "order 9"


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_the_token_and_headers_are_sent(serve, scheme):
    seen = []

    async def authenticate(params):
        seen.append(params)
        return Identity("ada") if "secret" in params.headers.get("authorization", "") else None

    server = await serve(orders(security=Security(authenticate=authenticate)))
    url = server.url if scheme == "ws" else server.http_url
    document = "{ __typename }"
    headers = ("--header", "x-shop: one", "--header", "X-Region:eu")
    assert (await subscribe(url, document, "--token", "secret", *headers))[0] == 0
    assert seen[-1].headers["authorization"] == "Bearer secret"
    assert (seen[-1].headers["x-shop"], seen[-1].headers["x-region"]) == ("one", "eu")
    assert (await subscribe(url, document, FRAISEQL_SUBS_TOKEN="secret"))[0] == 0
    if scheme == "ws":
        assert seen[-1].payload == {"authorization": "Bearer secret", "token": "secret"}
        payload = ("--token", "secret", "--init-payload", '{"token": "other", "more": 1}')
        assert (await subscribe(url, document, *payload))[0] == 0
        assert seen[-1].payload["token"] == "other" and seen[-1].payload["more"] == 1
    status, out, said = await subscribe(url, document)
    assert (status, out) == (
        1,
        "",
    ) and "403 Forbidden: if it asks for a token, pass --token" in said


async def test_a_client_that_the_older_subprotocol_refuses_is_told_why(serve):
    async def authenticate(params):
        return None

    server = await serve(orders(security=Security(authenticate=authenticate)))
    status, out, said = await subscribe(server.url, ORDERS, "--protocol", "graphql-ws")
    assert (status, out) == (1, "") and "refused" in said


@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_a_refused_document_is_a_result_with_errors(serve, scheme):
    server = await serve(orders())
    url = server.url if scheme == "ws" else server.http_url
    status, out, _ = await subscribe(url, "subscription { nix }")
    (error,) = json.loads(out)["errors"]
    assert status == 1 and "nix" in error["message"]


async def test_the_time_is_over(serve):
    server = await serve(orders())
    status, out, said = await subscribe(server.url, ORDERS, "--timeout", "0.01")
    assert (status, out) == (1, "") and "0 results within 0.01 s" in said


async def test_ctrl_c_ends_it(serve):
    manager = orders()
    server = await serve(manager)
    async with subscribing(server.url, ORDERS) as command:
        await subscribed(manager)
        command.process.send_signal(signal.SIGINT)
        status, out, _ = await command.ends()
    assert (status, out) == (130, "")
    await eventually(lambda: manager.metrics().connections == 0, "it has disconnected")


async def test_an_output_that_is_not_read_ends_it_quietly(serve):
    manager = orders()
    server = await serve(manager)
    async with subscribing(server.url, ORDERS) as command:
        await command.says("connected to")
        await subscribed(manager)
        command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        await manager.publish("orders", "paid")
        await command.process.wait()
        assert command.process.stderr is not None
        assert (command.process.returncode, await command.process.stderr.read()) == (1, b"")


async def test_a_terminal_is_shown_results_in_several_lines(serve, within):
    manager = orders()
    server = await serve(manager)
    outer, inner = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "subscribe", server.url, ORDERS, "--count", "1"),
        env=ENVIRONMENT,
        stdout=inner,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(inner)
    await subscribed(manager)
    await manager.publish("orders", "\x1b[2Jpaid\x9b")
    _, said = await within(process.communicate())
    shown = os.read(outer, 10_000).decode().replace("\r\n", "\n")
    os.close(outer)
    # Ids are not for people, and text of others does not control the terminal.
    assert shown == '{\n  "data": {\n    "orders": "\\u001b[2Jpaid\\u009b"\n  }\n}\n', said


WRONG = {
    "no-scheme": (["127.0.0.1:8000", "{ a }"], "ws://host:8000/graphql"),
    "scheme": (["ftp://h/", "{ a }"], "ws://host:8000/graphql"),
    "port": (["ws://h:x/", "{ a }"], "ws://host:8000/graphql"),
    "password": (["ws://u:p@h/", "{ a }"], "--token"),
    "empty": (["ws://h/", " "], "the document is empty"),
    "file": (["ws://h/", "@nix.graphql"], "nix.graphql cannot be read"),
    "stdin-twice": (["ws://h/", "-", "--variables", "-"], "stdin"),
    "variables": (["ws://h/", "{ a }", "--variables", "{id: 1}"], "--variables is not JSON"),
    "no-object": (["ws://h/", "{ a }", "--variables", "[1]"], "write a JSON object"),
    "nan": (["ws://h/", "{ a }", "--variables", '{"a": NaN}'], "NaN is no JSON"),
    "header": (["ws://h/", "{ a }", "--header", "x"], "'Name: value'"),
    "header-lines": (["ws://h/", "{ a }", "--header", "x: a\r\nb: c"], "'Name: value'"),
    "token": (["ws://h/", "{ a }", "--token", "a b"], "the token has characters"),
    "both": (["ws://h/", "{ a }", "--token", "a", "--header", "authorization: b"], "one of them"),
    "ca": (["ws://h/", "{ a }", "--ca", "x"], "--ca is for TLS"),
    "no-ca": (["wss://h/", "{ a }", "--ca", "x.pem"], "there is no file x.pem"),
    "bad-ca": (["wss://h/", "{ a }", "--ca", "bad.pem"], "certificates in PEM"),
    "ca-insecure": (["wss://h/", "{ a }", "--ca", "x", "--insecure"], "leave --ca out"),
    "payload": (["http://h/", "{ a }", "--init-payload", "{}"], "requests over HTTP have none"),
    "count": (["ws://h/", "{ a }", "--count", "0"], "--count"),
    "timeout": (["ws://h/", "{ a }", "--timeout", "0"], "--timeout"),
    "protocol": (["ws://h/", "{ a }", "--protocol", "ws"], "graphql-transport-ws"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_command_line_is_refused(tmp_path, name):
    arguments, message = WRONG[name]
    (tmp_path / "bad.pem").write_text("no certificate")
    status, out, said = await subscribe(*arguments, cwd=tmp_path)
    assert (status, out) == (2, "") and message in said, said


async def test_a_server_that_is_not_there_or_serves_something_else(serve):
    server = await serve(orders())
    for url, message in {
        "ws://127.0.0.1:1/graphql": "Connection refused",
        "http://127.0.0.1:1/graphql": "Connection refused",
        "unix:/nix/app.sock": "No such file",
        f"ws://127.0.0.1:{server.port}/nix": "404",
        f"http://127.0.0.1:{server.port}/nix": "404",
    }.items():
        status, out, said = await subscribe(url, ORDERS, "--timeout", str(PATIENCE))
        assert (status, out) == (1, "") and message in said, said


@pytest.mark.parametrize(("url", "library"), [("ws://h/", "websockets"), ("http://h/", "httpx")])
async def test_what_to_install_is_said(tmp_path, url, library):
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{library!r}] = None")
    path = os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])
    status, out, said = await subscribe(url, ORDERS, PYTHONPATH=path)
    assert (status, out) == (1, "")
    assert f"needs {library}, " in said and "pip install 'fraiseql-subs[cli]'" in said


async def test_errors_of_single_events_are_results(serve):
    @subscription(channel="orders")
    async def orders(event) -> str:
        if event.data == "bad":
            raise ValueError("not for clients")
        return event.data

    manager = SubscriptionManager([orders], workers=1)
    server = await serve(manager)
    async with subscribing(server.url, ORDERS, "--count", "2") as command:
        await subscribed(manager)
        await manager.publish("orders", "bad")
        await manager.publish("orders", "paid")
        assert "errors" in await command.result()
        assert await command.data() == "paid"
        assert (await command.ends())[0] == 1
