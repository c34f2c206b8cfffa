"""Checks the documentation: its code runs, its links resolve, its tables are complete.

A Python block compiles. Comments before a block, of which `support/documents.py` tells, say what
else it is:

- `<!-- run: name.py -->`: a program. It is run, on a free port, until it ends or serves, without an
  error.
- `<!-- test: test_x.py -->`: a test, which passes.
- `<!-- file: name.py -->`: a module, which can be imported.
- `<!-- serve: command -->`, after `file`: a server, of any language, that the command runs; with
  several such lines each is tried. It publishes `paid` again and again.
- `<!-- client: name -->`: is run against the servers before it in the page, by its ending (`.html`
  in Chromium), and the first line that it writes has to tell of `paid`.

Ports 80xx and 6379 (Redis) stand for free ones; of two servers with one port the later counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import PATIENCE, eventually_sync
from support.documents import BLOCK, PAGES, Block
from support.documents import blocks as blocks_of
from support.paths import ROOT, SCRIPTS

import fraiseql_subs
from fraiseql_subs import FraiseQLSubsError, GraphQLError, History, Limits, Metrics

LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
BLOCKS = {page: blocks_of(page) for page in PAGES}
PYTHON = [block for found in BLOCKS.values() for block in found if block.language == "python"]
PORT = re.compile(r"\b(?:80\d\d|6379)\b")
RUNNERS = {
    ".py": [sys.executable],
    ".mjs": ["node"],
    ".sh": ["bash"],
    ".html": ["node", str(SCRIPTS / "page.mjs")],
}


def ports_of(block: Block) -> list[str]:
    """The ports in the commands and the code of a block."""
    return PORT.findall("\n".join([*block.marked("serve"), block.code]))


def port_of(server: Block) -> str:
    """The port that it listens at: the first that it names; that of Redis comes last."""
    found = sorted(ports_of(server), key=lambda port: port == "6379")
    return found[0] if found else "8000"


def scenes() -> Iterator:
    """Servers, each with the command to run it, and the clients that follow them in a page."""
    for page, blocks in BLOCKS.items():
        served: dict[str, Block] = {}
        found: list[tuple[list[Block], list[Block]]] = []
        for block in blocks:
            if block.marked("serve"):
                served[port_of(block)] = block
            elif block.marked("client"):
                servers = list(served.values())
                if not found or found[-1][0] != servers:
                    found.append((servers, []))
                found[-1][1].append(block)
        for servers, clients in found:
            for commands in itertools.product(*(server.marked("serve") for server in servers)):
                where = f"{page.relative_to(ROOT)}:{servers[-1].name}:{commands[-1].split()[0]}"
                yield pytest.param(servers, commands, clients, id=where)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Node.js finds packages beside the script.
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (folder / "errors").open("a+") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def errors(folder: Path) -> str:
    return (folder / "errors").read_text()


def wait_for(process: subprocess.Popen, port: str, folder: Path) -> None:
    def is_over_or_open() -> bool:
        if process.poll() is None:
            socket.create_connection(("127.0.0.1", int(port))).close()
        return True

    eventually_sync(is_over_or_open, "the server listens")
    assert process.poll() is None, errors(folder)


@pytest.mark.parametrize(("servers", "commands", "clients"), list(scenes()))
def test_a_client_receives_what_a_server_publishes(servers, commands, clients, tmp_path):
    named = sorted({port for block in [*servers, *clients] for port in ports_of(block)})
    named = named or ["8000"]
    ports = dict(zip(named, map(str, free_ports(len(named))), strict=True))

    def placed(text: str) -> str:
        return PORT.sub(lambda match: ports[match[0]], text)

    (tmp_path / "node_modules").symlink_to(SCRIPTS / "node_modules")
    for block in [*servers, *clients]:
        (tmp_path / block.name).write_text(placed(block.code))
    with contextlib.ExitStack() as stack:
        for server, command in zip(servers, commands, strict=True):
            parts = ["bash", "-c", f"exec {placed(command)}"]
            process = stack.enter_context(running(parts, tmp_path))
            wait_for(process, ports[port_of(server)], tmp_path)
        for client in clients:
            name = tmp_path / client.name
            with running([*RUNNERS[name.suffix], str(name)], tmp_path) as process:
                assert process.stdout is not None
                ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
                line = process.stdout.readline().decode() if ready else ""
            assert "paid" in line, (client.name, line, errors(tmp_path))


def test_every_server_of_a_page_has_a_client():
    tried = [server for scene in scenes() for server in scene.values[0]]
    serving = [block for found in BLOCKS.values() for block in found if block.marked("serve")]
    assert [str(block) for block in serving if block not in tried] == []


def named(kind: str) -> list:
    return [
        pytest.param(block.marked(kind)[0], block.code, id=str(block))
        for block in PYTHON
        if block.marked(kind) and not block.marked("serve")
    ]


@pytest.mark.parametrize("code", [pytest.param(block.code, id=str(block)) for block in PYTHON])
def test_a_block_of_python_compiles(code):
    compile(code, "block.py", "exec")


@pytest.mark.parametrize(("name", "code"), named("run"))
def test_a_program_runs(name, code, tmp_path):
    program = tmp_path / name
    program.write_text(re.sub(r"port=\d+", "port=0", code))
    process = subprocess.Popen(
        [sys.executable, str(program)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        ends = eventually_sync(
            lambda: process.poll() is not None or serves(process.pid), "it ends or serves"
        )
    finally:
        # A server runs until it is ended.
        process.kill()
        _, err = process.communicate()
    assert ends and process.returncode in (0, -signal.SIGKILL), err
    assert err == ""


def serves(pid: int) -> bool:
    """Whether a process listens, at a port or at a path."""
    sockets = psutil.Process(pid).net_connections("all")
    at_path = any(found.family == socket.AF_UNIX and found.laddr for found in sockets)
    return at_path or any(found.status == psutil.CONN_LISTEN for found in sockets)


@pytest.mark.parametrize(("name", "code"), named("file"))
def test_a_file_can_be_imported(name, code, tmp_path):
    module = tmp_path / name
    module.write_text(code)
    subprocess.run([sys.executable, "-c", f"import {module.stem}"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(("name", "code"), named("test"))
def test_a_test_passes(name, code, tmp_path):
    (tmp_path / name).write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--override-ini", "asyncio_mode=auto", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TO_HEADING = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as a repository makes them; those of the site are the same."""
    found: list[str] = []
    for heading in HEADING.findall(BLOCK.sub("", page.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings(page):
    links = TO_HEADING.findall(page.read_text())
    missing = [
        f"{path}#{anchor}"
        for path, anchor in links
        if path.endswith(".md") or not path
        if anchor not in anchors(page.parent / path if path else page)
    ]
    assert missing == []


def test_every_limit_has_its_line_with_its_default():
    text = (ROOT / "docs/reference/limits.md").read_text()
    for field in (*dataclasses.fields(Limits), *dataclasses.fields(History)):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{field.name}`")]
        if isinstance(field.default, int) and field.default % (1024 * 1024):
            assert str(field.default) in line


def test_every_counter_has_its_line():
    text = (ROOT / "docs/reference/metrics.md").read_text()
    for field in dataclasses.fields(Metrics):
        assert f"| `{field.name}` |" in text


def test_every_error_has_its_line():
    text = (ROOT / "docs/reference/errors.md").read_text()
    exported = [getattr(fraiseql_subs, name) for name in fraiseql_subs.__all__]
    errors = [c for c in exported if isinstance(c, type) and issubclass(c, Exception)]
    assert {FraiseQLSubsError, GraphQLError} < set(errors)
    for error in errors:
        assert f"| `{error.__name__}` |" in text


def test_every_close_code_of_the_protocol_has_its_line():
    source = (ROOT / "rust/protocol/src/close.rs").read_text()
    codes = set(re.findall(r"Self::new\(\s*(\d{4}),", source))
    codes |= set(re.findall(r"^    /// (\d{4}):", source, re.MULTILINE))
    assert len(codes) > 8
    text = (ROOT / "docs/reference/errors.md").read_text()
    for code in codes:
        assert f"| {code} |" in text


def test_every_public_name_is_in_the_overview():
    text = (ROOT / "docs/reference/api.md").read_text()
    text += (ROOT / "docs/reference/errors.md").read_text()
    for name in fraiseql_subs.__all__:
        assert re.search(rf"\b{name}\b", text), name


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page, target)
