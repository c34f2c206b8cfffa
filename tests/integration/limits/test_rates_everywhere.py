"""Rates apply to every transport, to every kind of operation, with every `per`."""

from __future__ import annotations

import pytest
from rated_manager import OPERATIONS, TICKS, client_at, make_manager, statuses
from support import eventually
from support.certificates import Credentials
from support.event_streams import EVENTS, PARTS, opened
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url
from ways_in import PAGE, WAYS, in_process, open_http
from websockets.exceptions import InvalidStatus

from fraiseql_subs import Identity, Rates, Security, SubscriptionManager, passthrough

pytestmark = pytest.mark.attack


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("way", WAYS)
async def test_every_operation_counts_on_every_way(way, kind, serve):
    manager = make_manager(subscribes="2/h")
    server = await serve(manager)
    async with WAYS[way](server.url) as run:
        answers = [await run(OPERATIONS[kind]) for _ in range(3)]
        assert [answer.is_limited for answer in answers] == [False, False, True]
        assert manager.metrics().denied_rate == 1
        # Also when it is another kind.
        assert (await run(OPERATIONS["query"])).is_limited


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("way", WAYS)
async def test_the_rate_is_one_for_all_ways_on_every_server(way, name):
    if name not in HTTP_SERVERS and not way.startswith("graphql"):
        pytest.skip("it has WebSockets only")
    manager = make_manager(subscribes="1/h")
    async with SERVERS[name](manager) as url:
        async with WAYS[way](url) as run:
            assert not (await run(TICKS)).is_limited
            assert (await run(TICKS)).is_limited
        async with WAYS["graphql-transport-ws"](url) as run:
            assert (await run(TICKS)).is_limited
        async with WAYS["graphql-transport-ws"](url, "bob") as run:
            assert not (await run(TICKS)).is_limited


@pytest.mark.parametrize("way", ["subscribe", "executor"])
@pytest.mark.parametrize("kind", ["query", "subscription", "no document"])
async def test_in_process_the_rate_is_that_of_the_identity(way, kind, serve):
    manager = make_manager(subscribes="2/h")
    server = await serve(manager)
    run = in_process(manager, Identity("ada"))[way]
    assert not (await run(OPERATIONS[kind])).is_limited
    async with WAYS["POST"](server.url) as post:
        assert not (await post(OPERATIONS["query"])).is_limited
    assert (await run(OPERATIONS[kind])).is_limited
    assert manager.metrics().denied_rate == 1
    # The application itself is not limited.
    for _ in range(3):
        assert not (await in_process(manager, None)[way](TICKS)).is_limited


async def test_in_process_results_past_the_rate_are_dropped():
    manager = make_manager(events="1/h")
    async with manager, manager.subscribe("subscription { ticks }", identity={"user_id": "a"}) as s:
        await manager.publish_many(("ticks", n) for n in range(3))
        assert (await anext(s)).data == {"ticks": 0}
        await eventually(lambda: manager.metrics().results_rate_limited == 2, "they are dropped")


@pytest.mark.parametrize("per", ["address", "connection"])
async def test_in_process_there_is_neither_address_nor_connection(per):
    manager = make_manager(subscribes="1/h", per=per)
    async with manager:
        for _ in range(3):
            run = in_process(manager, Identity("ada"))["subscribe"]
            assert not (await run(TICKS)).is_limited


@pytest.mark.parametrize("thing", ["subscribes", "messages"])
@pytest.mark.parametrize(
    ("per", "other_user", "other_address", "other_connection"),
    [
        ("identity", 200, 429, 429),
        ("address", 429, 200, 429),
        ("connection", 200, 200, 200),
    ],
)
async def test_clients_that_are_counted_together_over_http(
    thing, per, other_user, other_address, other_connection, serve
):
    server = await serve(make_manager(**{thing: "2/h"}, refusals="99/s", per=per))
    async with client_at("127.0.0.1") as client:
        assert await statuses(client, server.url, 3) == [200, 200, 429]
    for address, user, expected in [
        ("127.0.0.1", "bob", other_user),
        ("127.0.0.2", "ada", other_address),
        ("127.0.0.1", "ada", other_connection),
    ]:
        async with client_at(address, user) as client:
            assert await statuses(client, server.url, 1) == [expected]


@pytest.mark.parametrize("per", ["identity", "address", "connection"])
async def test_streams_of_one_connection_of_http_2_are_counted_together(per, tmp_path, serve):
    issued = Credentials(tmp_path)
    manager = make_manager(messages="2/h", refusals="99/s", per=per)
    server = await serve(manager, tls=issued.tls)
    async with open_http(verify=False, http1=False, http2=True) as client:
        assert await statuses(client, server.url, 3) == [200, 200, 429]


@pytest.mark.parametrize("name", SERVERS)
async def test_a_handshake_past_the_rate_is_refused_by_every_server(name):
    manager = make_manager(refusals="1/h")
    async with SERVERS[name](manager) as url:
        client = await ProtocolClient.connect(url, origin=PAGE)
        await client.send({"type": "connection_init", "payload": {"user": "mallory"}})
        await client.expect_close(4403)
        await client.close()
        try:
            late = await ProtocolClient.connect(url, origin=PAGE)
        except InvalidStatus as refused:
            assert refused.response.status_code == 429
            assert int(refused.response.headers["retry-after"]) > 1000
        else:
            # It cannot answer a handshake.
            await late.expect_close(1013, "Try again later")
            await late.close()
        assert manager.metrics().denied_rate == 1


async def test_documents_that_are_not_trusted_count(serve):
    ticks = passthrough("ticks", int, channel="ticks")
    manager = SubscriptionManager(
        [ticks],
        trusted_documents={"known": "subscription { ticks }"},
        security=Security(origins=[PAGE], rates=Rates(subscribes="2/h")),
    )
    server = await serve(manager)
    async with WAYS["POST"](server.url) as run:
        answers = [await run({"documentId": "unknown"}), await run(TICKS), await run(TICKS)]
    assert [answer.is_limited for answer in answers] == [False, False, True]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "PATCH"])
@pytest.mark.parametrize("per", ["identity", "address", "connection"])
@pytest.mark.parametrize("known", [True, False])
async def test_each_request_is_a_message(known, per, method, serve):
    manager = make_manager(known=known, messages="2/h", per=per)
    server = await serve(manager)
    async with open_http() as client:
        query = {"query": "{ ok }"}
        body = {"json": query} if method == "POST" else {}
        url, params = http_url(server.url), query if method in ("GET", "HEAD") else {}
        responses = [await client.request(method, url, params=params, **body) for _ in range(3)]
        assert [response.status_code == 429 for response in responses] == [False, False, True]
        assert int(responses[2].headers["retry-after"]) > 1000
        assert responses[2].headers["access-control-allow-origin"] == PAGE
        assert manager.metrics().denied_rate == 1


async def test_requests_about_a_reserved_stream_are_messages_of_its_client(serve):
    server = await serve(make_manager(messages="4/h", refusals="99/s"))
    url = http_url(server.url)
    async with open_http() as client:
        token = (await client.put(url)).text
        headers = {"x-graphql-event-stream-token": token}
        async with client.stream("GET", url, headers={**headers, "accept": EVENTS}) as stream:
            assert stream.status_code == 200
            asked = {**TICKS, "extensions": {"operationId": "1"}}
            assert (await client.post(url, json=asked, headers=headers)).status_code == 202
            stop = {"params": {"operationId": "1"}, "headers": headers}
            assert (await client.delete(url, **stop)).status_code == 200
            # The credentials are limited, with any name of the client.
            async with open_http("bob") as other:
                assert (await other.delete(url, **stop)).status_code == 429
                assert (await other.post(url, json=asked, headers=headers)).status_code == 429
    async with open_http() as client:
        assert (await client.put(url)).status_code == 429


async def test_a_preflight_is_no_message(serve):
    server = await serve(make_manager(messages="1/h", per="address"))
    async with open_http() as client:
        headers = {"access-control-request-method": "POST"}
        for _ in range(3):
            response = await client.options(http_url(server.url), headers=headers)
            assert response.status_code == 204


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_each_new_connection_counts_as_a_message(subprotocol, serve, connect):
    server = await serve(make_manager(messages="2/h"))
    offer = {"subprotocols": [subprotocol], "origin": PAGE}
    for _ in range(2):
        await connect(server.url, {"user": "ada"}, **offer)
    late = await connect(server.url, init=False, **offer)
    await late.send({"type": "connection_init", "payload": {"user": "ada"}})
    await late.expect_close(4429, "Too many messages")
    await connect(server.url, {"user": "bob"}, **offer)


async def test_pings_of_the_transport_are_messages(serve, connect):
    server = await serve(make_manager(messages="3/h"))
    client = await connect(server.url, {"user": "ada"}, origin=PAGE, ping_interval=None)
    for _ in range(3):
        await client.socket.ping()
    await client.expect_close(4429, "Too many messages")


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_results_past_their_rate_are_dropped_over_http(accept, serve):
    manager = make_manager(events="1/h")
    server = await serve(manager)
    url, query = http_url(server.url), TICKS["query"]
    async with opened(url, query, accept, origin=PAGE) as (_, body):
        await body.read_until(":\n\n" if accept == EVENTS else "--graphql")
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish_many(("ticks", n) for n in range(3))
        assert '"ticks":0' in await body.read_until("}}")
        await eventually(lambda: manager.metrics().results_rate_limited == 2, "they are dropped")


@pytest.mark.parametrize("way", ["GET", "POST", "graphql-transport-ws"])
async def test_the_answer_to_a_query_is_no_event(way, serve):
    manager = make_manager(events="1/h")
    server = await serve(manager)
    async with WAYS[way](server.url) as run:
        for _ in range(3):
            assert (await run(OPERATIONS["query"])).code is None
    assert manager.metrics().results_rate_limited == 0
    async with open_http() as client:
        mutation = await client.post(http_url(server.url), json=OPERATIONS["mutation"])
    assert mutation.json() == {"data": {"change": True}}
