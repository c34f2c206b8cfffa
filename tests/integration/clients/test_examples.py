"""What examples print to do: it works as it stands."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process

import httpx
from support.paths import ROOT

from fraiseql_subs.graphiql import read_page

PATIENCE = 30.0


async def start(*command: str) -> Process:
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)


async def line(process: Process) -> str:
    assert process.stdout is not None
    read = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    assert read, (await process.communicate())[1].decode()
    return read.decode().rstrip("\n")


async def finish(process: Process) -> tuple[int, str]:
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    return process.returncode, err.decode()


async def test_all_that_the_demo_says_can_be_done():
    serving = await start(sys.executable, "examples/orders.py", "--port", "0", "--interval", "0.01")
    said = [await line(serving)]
    while said[-1] != "Ctrl-C ends it.":
        said.append(await line(serving))
    indented = [text.strip() for text in said if text.startswith("  ")]
    (command,) = [text for text in indented if "subscribe.py" in text]
    subscribing = await start(*shlex.split(command))
    order = json.loads(await line(subscribing))["data"]["orderUpdated"]
    assert order["status"] in {"NEW", "PAID", "SHIPPED"}
    (document,) = [text for text in indented if text.startswith("subscription {")]
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
    assert await finish(serving) == (0, "")
    # It was told that the server goes, which is no error.
    assert await finish(subscribing) == (0, "")


async def test_a_subscriber_of_nothing_is_told_what_to_do():
    subscribing = await start(sys.executable, "examples/subscribe.py", "ws://127.0.0.1:9/graphql")
    code, err = await finish(subscribing)
    assert code == 1 and "make demo" in err and "Traceback" not in err


def test_every_command_that_examples_name_is_there():
    text = "".join(path.read_text() for path in sorted((ROOT / "examples").glob("*.py")))
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"examples/\w+\.py", text):
        assert (ROOT / script).exists(), script
    for target in re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
