"""The command `fraiseql-subs` where its output cannot be written: a full disk, a closed pipe."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from support.programs import ENVIRONMENT, finish, start_command

from fraiseql_subs import SubscriptionManager, passthrough

COMMAND = f"{shlex.quote(sys.executable)} -m fraiseql_subs"
FULL = "fraiseql-subs: stdout cannot be written: No space left on device\n"

APP = """
from dataclasses import make_dataclass
from fraiseql_subs import SubscriptionManager, passthrough

# Its schema is longer than the buffer of a stream.
Wide = make_dataclass("Wide", [(f"a_long_name_of_a_field_{number}", int) for number in range(400)])
manager = SubscriptionManager([passthrough("wide", Wide, channel="wide")])

async def main():
    pass
"""

PRINTING = {
    "version": "--version",
    "help": "schema --help",
    "schema": "schema app",
    "schema as JSON": "schema app --json",
    "schema that differs": "schema app --check old.graphql",
    "codegen": "codegen --target app",
    "validate": "validate wrong.graphql --target app",
    "validate as JSON": "validate wrong.graphql --target app --format json",
    "counts": "validate right.graphql --target app --counts",
    "postgres": "postgres install --print",
    "completion": "completion bash",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "old.graphql").write_text("type Query { a: Int }")
    (tmp_path / "wrong.graphql").write_text("subscription { no }")
    (tmp_path / "right.graphql").write_text("{ __typename }")
    return tmp_path


async def shell(text: str, folder: Path) -> tuple[int, str, str]:
    """Run a line of bash; a part of a pipe that fails is its status."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail; {text}"),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=PIPE,
        stderr=PIPE,
    )
    status, out, err = await finish(process)
    assert "Traceback" not in err and "Exception ignored" not in err, err
    return status, out, err


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
async def test_a_full_disk_is_told_in_one_line(folder, arguments):
    status, _, err = await shell(f"{COMMAND} {arguments} >/dev/full", folder)
    assert status == 1
    told = [line for line in err.splitlines(keepends=True) if "stdout" in line]
    assert told == [FULL], err


@pytest.mark.parametrize("arguments", PRINTING.values(), ids=PRINTING)
async def test_a_closed_pipe_ends_it_in_silence(folder, arguments):
    # `true` reads nothing, and the command begins when it has ended.
    text = f"{{ read -r _ <gone; {COMMAND} {arguments} 2>said; }} | {{ exec <&-; echo >gone; }}"
    status, out, _ = await shell(f"mkfifo gone; {text}", folder)
    assert (status, out) == (1, "")
    said = (folder / "said").read_text()
    assert "stdout" not in said and "Traceback" not in said and "Exception" not in said


async def test_the_tables_and_lines_of_top_that_cannot_be_written_are_told(folder, serve):
    server = await serve(SubscriptionManager([passthrough("orders", str, channel="orders")]))
    command = f"{COMMAND} top http://127.0.0.1:{server.port} --interval 0.05"
    for options in ("--once", "--once --json", "--json"):
        status, _, err = await shell(f"{command} {options} >/dev/full", folder)
        assert (status, err) == (1, FULL), options
    status, out, err = await shell(f"{command} --json | head -n 1", folder)
    assert (status, err) == (1, "") and len(out.splitlines()) == 1


async def test_results_that_cannot_be_written_are_told(folder, serve):
    server = await serve(SubscriptionManager([passthrough("orders", str, channel="orders")]))
    for url in (server.url, server.http_url):
        command = f"{COMMAND} subscribe {url} '{{ __typename }}'"
        status, _, err = await shell(f"{command} >/dev/full", folder)
        assert status == 1 and err.splitlines(keepends=True)[-1] == FULL


async def test_characters_that_stdout_has_not_are_escaped(folder):
    (folder / "→.graphql").write_text("subscription { no }")
    command = f"PYTHONIOENCODING=latin-1 {COMMAND} validate →.graphql --target app"
    status, out, _ = await shell(command, folder)
    assert status == 1 and out.startswith("\\u2192.graphql:1:16: ")


async def test_errors_that_cannot_be_written_leave_the_status(folder):
    assert (await shell(f"{COMMAND} schema nothing 2>/dev/full", folder))[0] == 2
    assert (await shell(f"{COMMAND} schema nothing 2>&-", folder))[0] == 2


async def test_a_server_goes_on_where_its_line_cannot_be_written(folder):
    process = await start_command(
        *("bash", "-c", f"exec {COMMAND} serve app --port 0 --app-dir {folder} >/dev/full")
    )
    assert process.stderr is not None
    while b"serving GraphQL" not in (line := await process.stderr.readline()):
        assert line, "it ended"
    os.kill(process.pid, signal.SIGTERM)
    assert (await finish(process))[0] == 0
