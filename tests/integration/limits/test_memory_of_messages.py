"""Memory that the server uses for a megabyte of a client, with any content: ADR 0050."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlencode

import httpx
import pytest
from support import PATIENCE, eventually
from support.server_process import ServerProcess
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.attack

COST = 4.0
"""MiB of memory for each MiB that is sent."""

HEAD_COST = 8.0
"""The same for heads, which are buffered and passed to the hook in three forms."""

NOISE = 16.0
"""MiB that a server needs itself while it works: buffers, arenas, modules that it loads late."""

MESSAGES = 8

MESSAGE_BYTES = 1024 * 1024 - 512

VALUES = {"numbers": "0", "objects": "{}", "members": '{"aa":0},"ab",[],0.5'}
"""Small values: a megabyte of them took 20 to 60 MiB before."""

SUBPROTOCOLS = ["graphql-transport-ws", "graphql-ws"]

MANAGER = """
SDL = '''
scalar JSON
type Query {{ a: Int }}
type Subscription {{ kept(x: JSON): Int listed(x: [Int]): Int plain: Int }}
'''

@subscription(channel="ticks", name="kept")
async def kept(event, variables):
    return 1

async def authenticate(params):
    print("asked", file=sys.stderr, flush=True)
    {hook}

manager = SubscriptionManager(
    [kept, passthrough("listed", channel="ticks"), passthrough("plain", channel="ticks")],
    schema=SDL,
    workers=1,
    limits=Limits(connection_init_timeout=600.0, request_timeout=600.0),
    security=Security({security}),
)
"""

# A hook that reads its parameters, and then waits for ever.
HANGS = "token = (params.payload or {}).get('token'); await asyncio.Event().wait()"
HANGING = MANAGER.format(hook=HANGS, security="authenticate=authenticate")
OPEN = MANAGER.format(hook="pass", security="")


def many(value: str, length: int = MESSAGE_BYTES) -> str:
    """Return a JSON list of this length, filled with values."""
    return "[" + f"{value}," * (length // (len(value) + 1)) + "0]"


class Meter:
    """Measures the memory that a server uses for received data."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.before = server.memory
        self.sent = 0

    def send(self, message: str) -> str:
        """Count a message."""
        self.sent += len(message)
        return message

    def check(self, cost: float = COST) -> None:
        """Fail if the server has grown by more than the messages may cost."""
        grown, sent = self.server.memory - self.before, self.sent / 1024**2
        told = f"{sent:.1f} MiB cost {grown:.1f} MiB ({grown / sent:.1f} each)"
        assert grown < cost * sent + NOISE, told


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


class Sockets:
    """WebSocket clients of one server, which count those that it has closed."""

    def __init__(self, server: ServerProcess, subprotocol: str, stack: AsyncExitStack) -> None:
        self.url = server.url
        self.subprotocol = subprotocol
        self.stack = stack
        self.all: list[ClientConnection] = []
        self.reasons: list[str] = []

    async def open(self) -> ClientConnection:
        socket = await connect(
            self.url, subprotocols=[self.subprotocol], max_size=None, close_timeout=0.5
        )
        self.stack.push_async_callback(socket.close)
        self.all.append(socket)
        return socket

    async def acknowledged(self) -> ClientConnection:
        socket = await self.open()
        await socket.send('{"type":"connection_init"}')
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        return socket

    async def send(self, socket: ClientConnection, message: str) -> bool:
        """Send a message and wait until the server has read it; False: the server has closed."""
        try:
            await socket.send(message)
            await asyncio.wait_for(await socket.ping(), PATIENCE)
        except ConnectionClosed:
            assert socket.close_code == 4400, socket.close_reason
            self.reasons.append(socket.close_reason or "")
            return False
        return True


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_payloads_of_connection_init(subprotocol, value, closing):
    server = await closing.enter_async_context(ServerProcess(HANGING))
    sockets = Sockets(server, subprotocol, closing)
    meter = Meter(server)
    message = f'{{"type":"connection_init","payload":{{"a":{many(value)}}}}}'
    for _ in range(MESSAGES):
        await sockets.send(await sockets.open(), meter.send(message))

    def is_decided() -> bool:
        return server.log.count("asked") + len(sockets.reasons) == MESSAGES

    await eventually(is_decided, "each was handed to the hook, or refused")
    assert all("too many small values" in reason for reason in sockets.reasons)
    meter.check()


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_payloads_that_no_hook_looks_at_are_kept_as_they_are(subprotocol, closing):
    server = await closing.enter_async_context(ServerProcess(OPEN))
    sockets = Sockets(server, subprotocol, closing)
    meter = Meter(server)
    for _ in range(MESSAGES):
        socket = await sockets.open()
        message = f'{{"type":"connection_init","payload":{{"a":{many("0")}}}}}'
        assert await sockets.send(socket, meter.send(message))
        subscribe = "subscribe" if subprotocol == "graphql-transport-ws" else "start"
        for id in range(10):
            # Its resolver has the payload as well.
            payload = '{"query":"subscription { kept }"}'
            message = f'{{"type":"{subscribe}","id":"{id}","payload":{payload}}}'
            assert await sockets.send(socket, message)
    meter.check()


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_starts_before_the_acknowledgement(value, closing):
    server = await closing.enter_async_context(ServerProcess(HANGING))
    sockets = Sockets(server, "graphql-ws", closing)
    meter = Meter(server)
    variables = many(value, MESSAGE_BYTES // 4)
    payload = f'{{"query":"subscription {{ plain }}","variables":{{"x":{variables}}}}}'
    for _ in range(MESSAGES):
        socket = await sockets.open()
        assert await sockets.send(socket, '{"type":"connection_init"}')
        for id in range(3):
            message = f'{{"type":"start","id":"{id}","payload":{payload}}}'
            assert await sockets.send(socket, meter.send(message))
    meter.check()
    for socket in sockets.all:
        for id in range(3, 30):
            message = f'{{"type":"start","id":"{id}","payload":{payload}}}'
            if not await sockets.send(socket, message):
                break
    assert len(sockets.reasons) == MESSAGES
    assert all("before the acknowledgement" in reason for reason in sockets.reasons)
    meter.check()


QUERIES = {
    "undeclared": "subscription { plain }",
    "argument of a resolver": "subscription($x: JSON) { kept(x: $x) }",
    "list": "subscription($x: [Int]) { listed(x: $x) }",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_variables_of_subscriptions(subprotocol, query, value, closing):
    server = await closing.enter_async_context(ServerProcess(OPEN))
    sockets = Sockets(server, subprotocol, closing)
    socket = await sockets.acknowledged()
    meter = Meter(server)
    variables = many(value, MESSAGE_BYTES - len(query))
    subscribe = "subscribe" if subprotocol == "graphql-transport-ws" else "start"
    payload = f'{{"query":"{query}","variables":{{"x":{variables}}}}}'
    for id in range(MESSAGES):
        message = f'{{"type":"{subscribe}","id":"{id}","payload":{payload}}}'
        assert await sockets.send(socket, meter.send(message))
    meter.check()


Post = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


def posting(accept: str) -> Post:
    async def post(client: httpx.AsyncClient, body: str) -> httpx.Response:
        headers = {"content-type": "application/json", "accept": accept}
        return await client.post("/graphql", content=body, headers=headers)

    return post


ACCEPT = {
    "POST": "application/json",
    "SSE": "text/event-stream",
    "multipart": 'multipart/mixed;subscriptionSpec="1.0", application/json',
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("accept", ACCEPT.values(), ids=ACCEPT)
async def test_requests_whose_hook_waits(accept, value, closing):
    server = await closing.enter_async_context(ServerProcess(HANGING))
    client = await closing.enter_async_context(client_of(server))
    meter = Meter(server)
    half = many(value, MESSAGE_BYTES // 2 - 200)
    query = "subscription($x: JSON) { kept(x: $x) }"
    body = f'{{"query":"{query}","variables":{{"x":{half}}},"extensions":{{"y":{half}}}}}'
    post = posting(accept)
    requests = [asyncio.ensure_future(post(client, meter.send(body))) for _ in range(MESSAGES)]
    await eventually(lambda: server.log.count("asked") == MESSAGES, "the hook has all of them")
    meter.check()
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_parameters_of_requests(value, closing):
    server = await closing.enter_async_context(ServerProcess(HANGING))
    client = await closing.enter_async_context(client_of(server))
    meter = Meter(server)
    query = urlencode({"query": "{ __typename }"})
    # As few characters of the target as possible are escaped.
    variables = f'{{"x":{many(value, 60_000)}}}'.replace('"', "%22").replace("\\", "%5C")
    target = f"/graphql?{query}&variables={variables}"[: 64 * 1024 - 500]
    target = target[: target.rindex(",")] + "]}"
    count = 8 * MESSAGES
    requests = [
        asyncio.ensure_future(
            client.send(httpx.Request("GET", f"{client.base_url}{meter.send(target)}"))
        )
        for _ in range(count)
    ]
    await eventually(lambda: server.log.count("asked") == count, "the hook has all of them")
    meter.check(HEAD_COST)
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_operations_of_a_reserved_event_stream(value, closing):
    server = await closing.enter_async_context(ServerProcess(OPEN))
    client = await closing.enter_async_context(client_of(server))
    token = (await client.put("/graphql")).text
    meter = Meter(server)
    headers = {"x-graphql-event-stream-token": token, "content-type": "application/json"}
    query = "subscription($x: JSON) { kept(x: $x) }"
    for id in range(MESSAGES):
        variables = many(value, MESSAGE_BYTES - 200)
        extensions = f'{{"operationId":"{id}"}}'
        body = f'{{"query":"{query}","variables":{{"x":{variables}}},"extensions":{extensions}}}'
        response = await client.post("/graphql", content=meter.send(body), headers=headers)
        assert response.status_code == 202
    meter.check()


async def test_batches_are_refused_without_being_held(closing):
    server = await closing.enter_async_context(ServerProcess(HANGING))
    client = await closing.enter_async_context(client_of(server))
    meter = Meter(server)
    for _ in range(MESSAGES):
        body = f'[{{"query":"{{ a }}","variables":{{"x":{many("{}", MESSAGE_BYTES - 200)}}}}}]'
        response = await posting("application/json")(client, meter.send(body))
        assert response.status_code == 400 and "no JSON object" in response.text
    meter.check()


def client_of(server: ServerProcess) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    url = f"http://127.0.0.1:{server.port}"
    return httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits)
