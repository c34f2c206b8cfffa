"""Origin and host of a request: ambiguous ones are denied."""

from __future__ import annotations

import asyncio
import json

import h2.config
import h2.connection
import pytest
from support import PATIENCE, eventually
from support.authentication import Admitting
from support.certificates import Credentials
from support.raw_http import ANSWER, ask, handshake, post, request
from support.servers import HTTP_SERVERS, SERVERS

from fraiseql_subs import (
    JWT,
    ConfigurationError,
    ConnectionParams,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    passthrough,
)

pytestmark = pytest.mark.attack

ORIGIN = "Origin: https://app.example.com"


def make_manager(**options: object) -> SubscriptionManager:
    options = {"origins": ["https://app.example.com"], "hosts": ["localhost"], **options}
    feed = passthrough("feed", int, channel="feed")
    return SubscriptionManager([feed], security=Security(**options))


UNDECIDED = {
    "a foreign page": ("Origin: https://evil.test",),
    "a page of another scheme": ("Origin: http://app.example.com",),
    "a page of another port": ("Origin: https://app.example.com:8443",),
    "a page without an origin of its own": ("Origin: null",),
    "an empty origin": ("Origin:",),
    "an origin outside ASCII": ("Origin: https://app.example.com\xe9",),
    "an origin that looks alike": ("Origin: https://\xe1pp.example.com",),
    "an origin with credentials": ("Origin: https://u@app.example.com",),
    "an origin with a path": ("Origin: https://app.example.com/",),
    "an origin with a dot at its end": ("Origin: https://app.example.com.",),
    "two origins in one": ("Origin: https://app.example.com, https://app.example.com",),
    "two origins": (ORIGIN, ORIGIN),
    "two origins that differ": (ORIGIN, "Origin: https://evil.test"),
    "an image in a foreign page": ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
    "a request of a neighbour's page": ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"),
    "a page that cannot be told": ("Sec-Fetch-Site: elsewhere",),
}
HOSTS = {
    "another name": "evil.test",
    "another name with our port": "evil.test:8000",
    "a name that begins like ours": "localhost.evil.test",
    "a name with a dot at its end": "localhost.",
    "credentials": "evil@localhost",
    "a port that is none": "localhost:x",
    "two ports": "localhost:80:80",
    "a list": "localhost,localhost",
    "a name outside ASCII": "localhost\xe9",
    "an empty name": "",
}


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_request_needs_an_unambiguous_origin(name):
    async with SERVERS[name](make_manager()) as url:
        for case, lines in UNDECIDED.items():
            answer = await ask(url, post(*lines))
            assert answer.status in (400, 403), case
            assert ANSWER not in answer.body, case
            assert "access-control-allow-origin" not in answer.headers, case
        for lines in (
            (ORIGIN,),
            ("ORIGIN: HTTPS://App.Example.com",),
            (),
            ("Sec-Fetch-Site: same-origin",),
            ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
        ):
            answer = await ask(url, post(*lines))
            assert (answer.status, answer.headers.get("vary")) == (200, "origin"), lines


@pytest.mark.parametrize("name", SERVERS)
async def test_a_handshake_needs_an_unambiguous_origin(name):
    async with SERVERS[name](make_manager()) as url:
        for case, lines in UNDECIDED.items():
            assert (await ask(url, handshake(*lines))).status in (400, 403), case
        for lines in ((ORIGIN,), ()):
            assert (await ask(url, handshake(*lines))).status == 101, lines


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_which_host_is_asked_has_to_be_known(name):
    async with SERVERS[name](make_manager()) as url:
        for case, host in HOSTS.items():
            for sent in (post(host=host), handshake(host=host)):
                assert (await ask(url, sent)).status in (400, 403), case
        for sent in (
            post("Host: evil.test"),
            post("Host: localhost"),
            post(line="POST /graphql HTTP/1.0", host=None),
            post(host=None),
        ):
            assert (await ask(url, sent)).status in (400, 403), sent
        for host in ("localhost", "LocalHost:8000", "localhost:"):
            assert (await ask(url, post(host=host))).status == 200, host


@pytest.mark.parametrize("form", [post, handshake])
async def test_a_target_that_names_another_server_than_host_is_a_400(form, serve):
    server = await serve(make_manager())
    for authority in ("evil.test", "u@localhost", "localhost:8000", "localhost@evil.test"):
        sent = form().replace(b" /graphql", f" http://{authority}/graphql".encode())
        answer = await ask(server.url, sent, to_end=True)
        assert (answer.status, answer.is_closed) == (400, True), authority
    for authority in ("localhost", "LOCALHOST:80"):
        sent = form().replace(b" /graphql", f" http://{authority}/graphql".encode())
        assert (await ask(server.url, sent)).status in (101, 200), authority
    # Also without `hosts`: a proxy may have checked the other one.
    server = await serve(make_manager(hosts=None))
    sent = form().replace(b" /graphql", b" http://evil.test/graphql")
    assert (await ask(server.url, sent)).status == 400


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("OPTIONS * HTTP/1.1", 404),
        ("CONNECT localhost:80 HTTP/1.1", 404),
        ("GET graphql HTTP/1.1", 400),
        ("GET http:///graphql HTTP/1.1", 400),
        ("GET //graphql HTTP/1.1", 404),
        ("GET /graphql\xe9 HTTP/1.1", 400),
        ("TRACE /graphql HTTP/1.1", 405),
        ("get /graphql HTTP/1.1", 405),
    ],
)
async def test_a_target_that_names_nothing_is_refused(line, expected, serve):
    server = await serve(make_manager())
    assert (await ask(server.url, request(line=line))).status == expected


async def test_stars_stand_for_whole_names_below(serve):
    options = {"hosts": ["*.example.com"], "origins": ["https://*.example.org"]}
    server = await serve(make_manager(**options))

    async def status(host: str, origin: str = "https://a.example.org") -> int:
        return (await ask(server.url, post(f"Origin: {origin}", host=host))).status

    assert await status("a.example.com:8000") == await status("a.b.example.com") == 200
    for host in ("example.com", ".example.com", "evil.test/.example.com", "u@a.example.com"):
        assert await status(host) == 403, host
    for origin in ("https://example.org", "https://u@a.example.org", "http://a.example.org"):
        assert await status("a.example.com", origin) == 403, origin


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"hosts": ["*"]}, "host `\\*` is not of the form"),
        ({"hosts": []}, "Security.hosts is \\[\\]"),
        ({"hosts": ["api.*.com"]}, "not of the form"),
        ({"hosts": ["bücher.example"]}, "in ASCII"),
        ({"hosts": ["https://api.example.com"]}, "not of the form"),
        ({"hosts": ["api.example.com."]}, "not of the form"),
        ({"hosts": ["::1"]}, "`\\[::1\\]`"),
        ({"hosts": ["*.127.0.0.1"]}, "not of the form"),
        ({"origins": ["https://*"]}, "write scheme://host"),
        ({"origins": ["https://a*.example.com"]}, "write scheme://host"),
        ({"origins": ["https://bücher.example"]}, "and in ASCII"),
        ({"origins": ["null"]}, "write scheme://host"),
        ({"status_hosts": ["*"]}, "Security.hosts, which is None"),
        ({"hosts": ["a"], "status_hosts": ["a*"]}, "Security.status_hosts: host `a\\*`"),
    ],
)
def test_a_name_that_could_never_match_is_refused(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Security(**options)


async def test_health_and_metrics_are_for_the_hosts_of_the_server(serve):
    pages = ("/health", "/health/", "/health/live", "/health/ready", "/metrics")

    async def statuses(url: str, host: str | None, version: str = "1.1") -> set[int]:
        lines = (f"{method} {page} HTTP/{version}" for page in pages for method in ("GET", "PUT"))
        answers = [await ask(url, request(line=line, host=host)) for line in lines]
        assert {a.headers["x-content-type-options"] for a in answers if a.body} == {"nosniff"}
        return {answer.status for answer in answers}

    manager = make_manager()
    server = await serve(manager)
    assert await statuses(server.url, "localhost:8000") == {200, 405}
    assert await statuses(server.url, "10.0.0.7:8000") == {403}
    assert await statuses(server.url, None, "1.0") == {403}
    assert manager.metrics().denied_host == 20
    server = await serve(make_manager(status_hosts=["10.0.0.7"]))
    assert await statuses(server.url, "10.0.0.7:8000") == {200, 405}
    assert await statuses(server.url, "evil.test") == {403}
    server = await serve(make_manager(status_hosts=["*"]))
    assert await statuses(server.url, "evil.test") == {200, 405}
    assert await statuses(server.url, None, "1.0") == {200, 405}
    # Only those pages.
    assert (await ask(server.url, post(host="evil.test"))).status == 403
    server = await serve(make_manager(hosts=None))
    assert await statuses(server.url, "evil.test") == {200, 405}


async def test_headers_that_are_no_lists_may_be_sent_once(serve):
    server = await serve(make_manager())
    for name, value in (
        ("Authorization", "Bearer a"),
        ("Content-Type", "application/json"),
        ("Last-Event-ID", "a-1"),
        ("X-GraphQL-Event-Stream-Token", "a"),
        ("X-Subgraph", "a"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ):
        twice = f"{name}: {value}\r\n{name}: {value}"
        for form in (post, handshake):
            answer = await ask(server.url, form(twice))
            assert answer.status == 400, (form, name)
            assert b"once only" in answer.body, (form, name)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Encoding: gzip",),
        ("Content-Encoding: identity", "Content-Encoding: br"),
        ("Content-Encoding: unknown\xe9",),
        ("Content-Encoding: identity, x",),
        ("Content-Type: application/json; charset=utf-8; charset=utf-16",),
        ("Content-Type: application/json\xe9",),
        ("Content-Type: text/plain",),
        ("Content-Type: application/x-www-form-urlencoded",),
    ],
)
@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_body_in_an_unknown_form_is_a_415(name, lines):
    async with SERVERS[name](make_manager()) as url:
        sent = post(*lines)
        if lines[0].startswith("Content-Type"):
            sent = sent.replace(b"Content-Type: application/json\r\n", b"", 1)
        assert (await ask(url, sent)).status == 415


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: short", 400),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: dGhlIHNhbXBsZSBub25jZQ\xe9=", 400),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key:", 400),
        ("Version: 13", "Version: 13, 8", 426),
        ("Version: 13", "Version: 013", 426),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 5", 400),
        ("Upgrade: websocket", "Upgrade: websocket\r\nTransfer-Encoding: chunked", 400),
    ],
)
async def test_a_handshake_that_may_be_read_in_two_ways_is_refused(
    line, replacement, expected, serve
):
    server = await serve(make_manager())
    sent = handshake().replace(line.encode(), replacement.encode("latin-1"), 1)
    sent += b"0\r\n\r\n" if b"chunked" in sent else b""
    assert (await ask(server.url, sent)).status == expected


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_preflight_names_what_was_asked_for_if_that_are_names(name):
    asked = "Access-Control-Request-Method: POST"
    line = "OPTIONS /graphql HTTP/1.1"
    async with SERVERS[name](make_manager()) as url:
        for headers, allowed in (
            ("content-type, x-mine", "content-type, x-mine"),
            ("x y", "content-type"),
            ("x\xe9", "content-type"),
        ):
            names = f"Access-Control-Request-Headers: {headers}"
            answer = await ask(url, request(asked, names, ORIGIN, line=line))
            assert answer.status == 204
            assert answer.headers["access-control-allow-headers"] == allowed
        answer = await ask(url, request(asked, "Origin: https://evil.test", line=line))
        assert answer.status == 403


async def test_a_token_of_which_there_are_two_is_none(serve):
    jwt = JWT(key="k" * 32, algorithms=["HS256"], cookie="session", query="token")

    async def authenticate(params: ConnectionParams) -> Identity:
        raise AssertionError("no token holds")

    server = await serve(make_manager(jwt=jwt, authenticate=authenticate))
    for sent in (
        post("Cookie: session=a; session=b"),
        post("Cookie: session=a", "Cookie: session=b"),
        post(line="POST /graphql?token=a&token=b HTTP/1.1"),
    ):
        assert (await ask(server.url, sent)).status == 403


async def test_a_hook_sees_all_of_a_header_that_is_repeated(serve):
    hook = Admitting()
    server = await serve(make_manager(authenticate=hook))
    await ask(server.url, post("X-Key: a", "X-Key: b"))
    await ask(server.url, post("X-Key: \xe9"))
    assert [params.headers["x-key"] for params in hook.asked] == ["a, b", "\xe9"]


FEED = "subscription%7Bfeed%7D"


async def test_every_refusal_with_a_body_has_the_type_that_it_says(serve):
    async def authenticate(params: ConnectionParams) -> Identity | None:
        return None if "x-refused" in params.headers else Identity("ada")

    rates = Rates(messages="3/h", subscribes="1/h", per="address")
    manager = make_manager(authenticate=authenticate, rates=rates)
    server = await serve(manager)
    statuses = set()
    for sent in (
        post("X-Refused: 1"),
        request("Accept: application/json", line=f"GET /graphql?query={FEED} HTTP/1.1"),
        *[post()] * 3,
    ):
        answer = await ask(server.url, sent)
        statuses.add(answer.status)
        assert answer.headers["x-content-type-options"] == "nosniff", answer
    assert {403, 406, 429} <= statuses


@pytest.mark.parametrize(
    ("sent", "what", "setting"),
    [
        (handshake("Origin: https://evil.test"), "handshake denied", "Security.origins"),
        (handshake(host="evil.test"), "handshake denied", "Security.hosts"),
        (post("Origin: https://evil.test"), "request denied", "Security.origins"),
        (post(host="evil.test"), "request denied", "Security.hosts"),
        (
            request(line="GET /health HTTP/1.1", host="evil.test"),
            "request denied",
            "Security.hosts or Security.status_hosts",
        ),
    ],
)
async def test_the_log_of_a_denial_names_the_setting_that_lets_it_in(
    sent, what, setting, serve, caplog
):
    server = await serve(make_manager())
    assert (await ask(server.url, sent)).status == 403
    await eventually(lambda: caplog.records, "the denial is logged")
    (record,) = caplog.records
    assert record.name == "fraiseql_subs.audit"
    assert record.getMessage().startswith(f"{what} ")
    assert f"setting='{setting}'" in record.getMessage()


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_responses_have_the_type_that_they_say(name):
    page = request("Accept: text/html", line="GET /graphql HTTP/1.1")
    async with SERVERS[name](make_manager()) as url:
        for sent in (
            post(),
            post("Origin: null"),
            post(host="evil.test"),
            request(line="GET /graphql HTTP/1.1"),
            request(line="PATCH /graphql HTTP/1.1"),
            request(line="PUT /graphql HTTP/1.1"),
            request("Accept: application/json", line=f"GET /graphql?query={FEED} HTTP/1.1"),
            request("Accept: text/html", line="GET /graphql?query=mutation%7Ba%7D HTTP/1.1"),
            request("Accept: image/png", line="GET /graphql?query=%7Ba%7D HTTP/1.1"),
            page,
        ):
            answer = await ask(url, sent)
            assert answer.headers["x-content-type-options"] == "nosniff", sent
        page_answer = await ask(url, page)
        assert page_answer.headers["x-frame-options"] == "DENY"
        assert page_answer.headers["referrer-policy"] == "same-origin"
        policy = page_answer.headers["content-security-policy"]
        parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert parts["default-src"] == parts["frame-ancestors"] == "'none'"
        assert parts["script-src"].startswith("'sha256-") and "unsafe" not in parts["script-src"]


async def test_http_2_has_one_name_for_the_server(serve, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(make_manager(hosts=["127.0.0.1"]), tls=credentials.tls)

    async def status(*fields: tuple[str, str]) -> str:
        context = credentials.trusting
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        config = h2.config.H2Configuration(
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        base = [(":method", "POST"), (":scheme", "https"), (":path", "/graphql")]
        connection.send_headers(1, [*base, *fields, ("content-type", "application/json")])
        connection.send_data(1, json.dumps({"query": "{ __typename }"}).encode(), end_stream=True)
        writer.write(connection.data_to_send())
        try:
            while data := await asyncio.wait_for(reader.read(65536), PATIENCE):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[":status"]
                    if isinstance(event, h2.events.StreamReset):
                        return "reset"
                writer.write(connection.data_to_send())
        finally:
            writer.close()
        return "closed"

    here = f"127.0.0.1:{server.port}"
    assert await status((":authority", here)) == "200"
    assert await status((":authority", here), ("host", here)) == "200"
    assert await status(("host", here)) == "200"
    assert await status((":authority", here), ("host", "evil.test")) == "400"
    assert await status((":authority", "evil.test"), ("host", here)) == "400"
    assert await status((":authority", "evil.test")) == "403"
    assert await status(("host", here), ("host", here)) == "400"
    assert await status() == "403"
    assert await status((":authority", here), ("origin", "null")) == "403"
    both = ("origin", "https://app.example.com")
    assert await status((":authority", here), both) == "200"
    assert await status((":authority", here), both, both) == "400"
    assert await status((":authority", f"u@{here}")) in ("400", "reset")
