"""Replays the transcripts, one for each rule of a protocol, on every server that offers it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from application import Application
from http_steps import HttpRun
from support.servers import ASGI, HTTP_SERVERS, SERVERS, ws_url
from transcript import load
from websocket_steps import WebSocketRun

HERE = Path(__file__).parent

# By folder of transcripts: how they are replayed, the protocol, the servers that offer it.
PROTOCOLS: dict[str, tuple[Any, str, list[str]]] = {
    "graphql_transport_ws": (WebSocketRun, "graphql-transport-ws", list(SERVERS)),
    "graphql_ws": (WebSocketRun, "graphql-ws", list(SERVERS)),
    "http": (HttpRun, "http", HTTP_SERVERS),
    "sse_distinct": (HttpRun, "http", HTTP_SERVERS),
    "sse_single": (HttpRun, "http", HTTP_SERVERS),
    "multipart": (HttpRun, "http", HTTP_SERVERS),
}

TRANSCRIPTS = {folder: load(HERE / folder) for folder in PROTOCOLS}

CASES = [
    pytest.param(server, folder, name, id=f"{folder}-{name}-{server}")
    for folder, (_, _, servers) in PROTOCOLS.items()
    for name in TRANSCRIPTS[folder]
    for server in servers
]


class Switchboard:
    """An ASGI application that forwards to that of the running test."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] != "lifespan", "it has none"
        await self.app(scope, receive, send)


class Servers:
    """Serves one manager after the other: ASGI servers start slowly, so they keep running."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._started: dict[str, tuple[Switchboard, str]] = {}

    @asynccontextmanager
    async def serve(self, name: str, application: Application) -> AsyncIterator[str]:
        if name not in ASGI:
            async with SERVERS[name](application.manager) as url:
                yield url
            return
        run, make_app = ASGI[name]
        if name not in self._started:
            board = Switchboard()
            host = await self._stack.enter_async_context(run(board))
            self._started[name] = board, ws_url(host)
        board, url = self._started[name]
        board.app = make_app(application.manager)
        async with application.manager:
            yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(stack)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("server", "folder", "name"), CASES)
async def test_a_rule_of_the_protocol(server, folder, name, servers):
    transcript = TRANSCRIPTS[folder][name]
    run, protocol, _ = PROTOCOLS[folder]
    application = Application(transcript.get("options", {}))
    async with (
        servers.serve(server, application) as url,
        run.connect(application, url, protocol) as playing,
    ):
        await playing.play(transcript["steps"])


@pytest.mark.parametrize("folder", PROTOCOLS)
def test_every_transcript_names_its_rule_and_source(folder):
    transcripts = TRANSCRIPTS[folder]
    rules = [transcript["rule"] for transcript in transcripts.values()]
    assert len(set(rules)) == len(rules) >= 12
    assert all(transcript["source"] for transcript in transcripts.values())
    assert [int(name[:4]) for name in transcripts] == list(range(1, len(rules) + 1))


def test_every_folder_of_transcripts_is_played():
    assert {path.parent.name for path in HERE.glob("*/*.json")} == set(PROTOCOLS)
