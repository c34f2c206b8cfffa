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
    (command,) = [text for text in indented if "subscribe.py" in text]
    subscribing = await start_command(*shlex.split(command))
    order = json.loads(await read_line(subscribing))["data"]["orderUpdated"]
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
    code, _, err = await finish(serving)
    assert (code, err) == (0, "")
    # It was told that the server goes, which is no error.
    code, _, err = await finish(subscribing)
    assert (code, err) == (0, "")


async def test_the_example_without_a_server_says_what_to_do():
    subscribing = await start_command(
        sys.executable, "examples/subscribe.py", "ws://127.0.0.1:9/graphql"
    )
    code, _, err = await finish(subscribing)
    assert code == 1 and "make demo" in err and "Traceback" not in err


async def test_subscribing_ends_quietly_when_its_output_is_not_read(tmp_path):
    serving = await start_command(
        sys.executable, "examples/orders.py", "--port", "0", "--interval", "0.01"
    )
    (url,) = re.findall(r"ws://\S+", await read_line(serving))
    errors = tmp_path / "errors"
    command = f"{shlex.quote(sys.executable)} examples/subscribe.py {url} 2>{errors} | head -n 1"
    code, out, _ = await finish(await start_command("bash", "-c", command))
    assert (code, out.count("\n"), errors.read_text()) == (0, 1, "")
    serving.send_signal(signal.SIGINT)
    await finish(serving)


def test_every_command_that_examples_name_is_there():
    text = "".join(path.read_text() for path in sorted((ROOT / "examples").glob("*.py")))
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"examples/\w+\.py", text):
        assert (ROOT / script).exists(), script
    for target in re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
