"""The rules of the protocols, one transcript each, over every server that offers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from application import Application
from http_steps import HttpRun
from servers import HTTP_SERVERS, SERVERS
from transcript import load
from websocket_steps import WebSocketRun

HERE = Path(__file__).parent

# Folder of the transcripts: how they are played, the protocol, the servers that offer it.
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


@pytest.mark.parametrize(("server", "folder", "name"), CASES)
async def test_a_rule_of_the_protocol(server, folder, name):
    transcript = TRANSCRIPTS[folder][name]
    run, protocol, _ = PROTOCOLS[folder]
    application = Application(transcript.get("options", {}))
    async with (
        SERVERS[server](application.manager) as url,
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
