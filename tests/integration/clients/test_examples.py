"""The commands that the examples print work unchanged."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys

import httpx
from support import PATIENCE
from support.paths import ROOT
from support.programs import finish, read_line, start_command

from fraiseql_subs.graphiql import read_page


async def test_all_that_the_demo_says_can_be_done():
    serving = await start_command(
        sys.executable, "examples/orders.py", "--port", "0", "--interval", "0.01"
    )
    said = [await read_line(serving)]
    while said[-1] != "Ctrl-C ends it.":
        said.append(await read_line(serving))
    indented = [text.strip() for text in said if text.startswith("  ")]
    (command,) = [text for text in indented if " subscribe " in text]
    subscribing = await start_command(*shlex.split(command))
    order = json.loads(await read_line(subscribing))["data"]["orderUpdated"]
    assert order["status"] in {"NEW", "PAID", "SHIPPED"}
    document = shlex.split(command)[-1]
    pages = [text for text in indented if text.startswith("http://")]
    assert bool(pages) == (read_page() is not None)
    (port,) = re.findall(r":(\d+)/", said[0])
    url = f"http://127.0.0.1:{port}/graphql"
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        for page in pages:
            response = await client.get(page, headers={"accept": "text/html"})
            assert (response.status_code, "<html" in response.text) == (200, True)
        events = {"accept": "text/event-stream"}
        async with client.stream("GET", url, params={"query": document}, headers=events) as stream:
            async for text in stream.aiter_lines():
                if text.startswith("data: {"):
                    assert "customer" in text and "errors" not in text
                    break
    serving.send_signal(signal.SIGINT)
    code, _, err = await finish(serving)
    assert (code, err) == (0, "")
    # It waits for the server to come back.
    assert subscribing.stderr is not None
    while b"reconnecting" not in (said_line := await subscribing.stderr.readline()):
        assert said_line, "it ended"
    subscribing.send_signal(signal.SIGINT)
    assert (await finish(subscribing))[0] == 130


def test_every_command_that_examples_name_is_there():
    text = "".join(path.read_text() for path in sorted((ROOT / "examples").glob("*.py")))
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"examples/\w+\.py", text):
        assert (ROOT / script).exists(), script
    for target in re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
