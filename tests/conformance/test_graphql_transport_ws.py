"""The rules of graphql-transport-ws, one transcript each, over every server there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from application import make_manager
from protocol_client import ProtocolClient
from servers import SERVERS
from transcript import Run, load
from websockets.exceptions import ConnectionClosed

TRANSCRIPTS = load(Path(__file__).parent / "graphql_transport_ws")


@pytest.fixture(params=SERVERS)
async def connect(request) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Serve a manager of its own and connect to it."""
    async with AsyncExitStack() as stack:

        async def connect(options: dict[str, Any], **client_options: Any) -> Run:
            manager, door = make_manager(options)
            url = await stack.enter_async_context(SERVERS[request.param](manager))
            client = await ProtocolClient.connect(url, **client_options)
            stack.push_async_callback(client.close)
            return Run(client, manager, door)

        yield connect


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_rule_of_the_protocol(name, connect):
    transcript = TRANSCRIPTS[name]
    run = await connect(transcript.get("options", {}))
    await run.play(transcript["steps"])


def test_every_transcript_names_its_rule_and_source():
    rules = [transcript["rule"] for transcript in TRANSCRIPTS.values()]
    assert len(set(rules)) == len(rules) >= 40
    assert all(transcript["source"] for transcript in TRANSCRIPTS.values())
    assert [int(name[:4]) for name in TRANSCRIPTS] == list(range(1, len(rules) + 1))


@pytest.mark.parametrize("offered", [[], ["chat", "soap"]], ids=["none", "unknown"])
async def test_without_a_known_subprotocol_the_handshake_completes_and_closes_4406(
    offered, connect
):
    run = await connect({}, subprotocols=offered)
    assert run.client.socket.subprotocol is None
    await run.client.expect_close(4406, "Subprotocol not acceptable")


@pytest.mark.parametrize(
    "offered",
    [["graphql-transport-ws"], ["chat", "graphql-transport-ws"], ["graphql-transport-ws", "soap"]],
    ids=["alone", "second", "first"],
)
async def test_the_first_known_subprotocol_is_echoed(offered, connect):
    run = await connect({}, subprotocols=offered)
    assert run.client.socket.subprotocol == "graphql-transport-ws"
    await run.client.init()


async def test_a_client_that_uses_the_same_ids_again_meets_no_state_of_its_old_socket(connect):
    run = await connect({})
    await run.client.init()
    await run.client.subscribe("subscription { greetings }", id="1")
    url = f"ws://127.0.0.1:{run.client.socket.remote_address[1]}/graphql"
    again = await ProtocolClient.connect(url)
    run.client.socket.transport.abort()
    await again.init()
    await again.subscribe("subscription { greetings }", id="1")
    await run.manager.publish("greetings", "x")
    assert await again.receive_data("1") == {"greetings": "x"}
    await again.settle()
    assert not again.has_received
    await again.close()
    with pytest.raises(ConnectionClosed):
        await run.client.socket.recv()
