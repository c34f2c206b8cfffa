"""The commands of the image, run without docker against a real Redis and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from files import DOCKER, copies, environment, exec_form, instructions, of_image
from shop import Shop
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.paths import ROOT, SCRIPTS
from support.programs import read_line, suspend
from support.protocol_client import ConnectionClosed, ProtocolClient

LINTER = SCRIPTS / "node_modules/dockerfile-utils/bin/dockerfile-utils"

LIVE = '200 {"status":"live"}\n'

IN_A_CONTAINER = (
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh"),
    # Python itself may be where only root can read.
    *("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"),
    *("--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search"),
    "--ambient-caps=-all,+dac_read_search",
)


def can_contain() -> bool:
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    return subprocess.run([*IN_A_CONTAINER, "true"], capture_output=True).returncode == 0


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop.open(tmp_path) as shop:
        yield shop


def test_the_linter_finds_nothing():
    linted = subprocess.run(
        ["node", str(LINTER), "lint", str(DOCKER / "Dockerfile")], capture_output=True, text=True
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def is_ignored(path: str) -> bool:
    """Whether the build does not see a path of the repository: the last line that fits decides."""
    ignored = False
    for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if pattern and not pattern.startswith("#"):
            expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
            if re.match(rf"{expression}(?:/|$)", path):
                ignored = not line.startswith("!")
    return ignored


def test_the_build_sees_what_it_copies():
    sources = [
        source
        for stage in ("page", "wheel", "runtime", "shop")
        for found, _ in copies(stage)
        for source in found
    ]
    assert len(sources) > 10
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not is_ignored(source), source
    listed = subprocess.run(
        ["git", "ls-files", "rust", "fraiseql_subs"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    assert [path for path in listed if is_ignored(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        *(".git/config", "target/release/x", "tests/js/node_modules/ws/index.js", ".env"),
        *("fraiseql_subs/_core.abi3.so", "graphiql/node_modules/react/index.js", ".venv/bin/pip"),
        "fraiseql_subs/__pycache__/x.pyc",
    ],
)
def test_the_build_does_not_see_what_this_machine_has_made(path):
    assert is_ignored(path)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_what_is_copied_is_a_whole_workspace(tmp_path):
    for sources, _ in copies("wheel"):
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / source)
            else:
                shutil.copy(ROOT / source, tmp_path)
    command = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]
    read = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    project = (tmp_path / "pyproject.toml").read_text()
    (readme,) = re.findall(r'^readme = "(.+)"', project, re.MULTILINE)
    assert (tmp_path / readme).exists()


def test_the_image_runs_no_shell_and_not_as_root():
    user, _, group = of_image("USER").partition(":")
    assert int(user) > 0 and int(group) > 0
    assert exec_form(of_image("CMD"))[0] == "fraiseql-subs"
    assert exec_form(of_image("HEALTHCHECK"))[0] == "python"
    assert not any(found.keyword in ("ENTRYPOINT", "SHELL") for found in instructions())
    assert of_image("STOPSIGNAL") == "SIGTERM"
    assert of_image("EXPOSE") == environment()["FRAISEQL_SUBS_PORT"]
    # The stage that is built when none is named.
    assert instructions()[-1].keyword == "CMD"


async def test_it_serves_is_healthy_and_drains(shop):
    async with shop.node() as node:
        assert await node.health() == (0, LIVE)
        client = await ProtocolClient.connect(node.url.replace("http", "ws") + "/graphql")
        await client.init()
        await client.subscribe("subscription { orders { id } }")
        node.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd.code == 1001
        assert await asyncio.wait_for(node.process.wait(), PATIENCE) == 0
        status, said = await node.health()
        assert status == 1 and "does the server listen" in said


async def test_a_node_whose_engine_is_away_is_healthy(shop):
    async with shop.node() as node:
        await shop.redis.kill()

        async def is_known() -> bool:
            return await node.status("/health/ready?bus") == 503

        await eventually(is_known, "the node knows that Redis is away")
        assert (await node.health())[0] == 0
        assert await node.status("/health/ready") == 200


async def test_a_server_that_hangs_is_not_healthy(shop):
    async with shop.node() as node:
        suspend(node.process.pid)
        assert (await node.health())[0] == 1


async def test_it_is_healthy_with_tls_at_a_unix_socket_and_with_the_proxy_protocol(shop, tmp_path):
    credentials = Credentials(tmp_path, "shop.example.com")
    tls = {
        "FRAISEQL_SUBS_TLS_CERT": str(credentials.cert),
        "FRAISEQL_SUBS_TLS_KEY": str(credentials.key),
    }
    unix = {"FRAISEQL_SUBS_UNIX": str(tmp_path / "node.sock")}
    proxied = {
        "FRAISEQL_SUBS_PROXY_PROTOCOL": "1",
        "FRAISEQL_SUBS_TRUSTED_PROXY": "10.0.0.1 127.0.0.1",
    }
    async with shop.node() as node:
        for variables in (tls, unix, proxied):
            assert (await node.health(**variables))[0] == 1
            process = await asyncio.create_subprocess_exec(
                *exec_form(of_image("CMD")),
                cwd=shop.folder / "app",
                env={**node.variables, "FRAISEQL_SUBS_PORT": "0", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                if found := re.search(r"wss?://[^:/]+:(\d+)/", await read_line(process)):
                    variables["FRAISEQL_SUBS_PORT"] = found[1]
                assert (await node.health(**variables)) == (0, LIVE)
            finally:
                process.kill()
                await process.communicate()


@pytest.mark.skipif(not can_contain(), reason="this user may not make namespaces")
async def test_it_serves_as_process_1_without_rights_on_a_read_only_file_system(shop):
    async with shop.node(*IN_A_CONTAINER) as node:
        process = node.main_process()
        status = of_process(process, "status")
        assert re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE)
        assert process.uids().effective == int(of_image("USER").partition(":")[0])
        mounts = of_process(process, "mounts").splitlines()
        roots = [line.split()[3] for line in mounts if line.split()[1] == "/"]
        assert roots[-1].startswith("ro")
        changing = asyncio.create_task(node.orders(1))
        await eventually(lambda: changing.done() or shop_changes(shop, changing), "an order")
        assert (await changing)[0]["item"] == "tea"
        os.kill(process.pid, signal.SIGTERM)
        assert await asyncio.wait_for(node.process.wait(), PATIENCE) == 0
        assert "Traceback" not in node.log


def of_process(process: psutil.Process, name: str) -> str:
    return Path(f"/proc/{process.pid}/{name}").read_text()


async def shop_changes(shop: Shop, until: asyncio.Task) -> bool:
    await shop.finish(
        "psql",
        *shop.placed("postgresql://postgres@postgres/shop"),
        "-qc",
        "UPDATE orders SET paid = NOT paid",
    )
    return until.done()
