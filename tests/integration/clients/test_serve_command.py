"""The command `fraiseql-subs serve`: what it serves, and how it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.programs import ENVIRONMENT, finish, read_line
from support.proxy_header import HeaderProxy, version_2

APP = """
import asyncio
from fraiseql_subs import SubscriptionManager, passthrough

manager = SubscriptionManager([passthrough("orders", str, channel="orders")], workers=1)
same = manager
text = "no manager"

def create():
    return SubscriptionManager([passthrough("made", str, channel="made")], workers=1)

def needs(name):
    return manager

async def main():
    raise AssertionError("nothing has asked for it")

async def short():
    pass

async def broken():
    raise ValueError("the database is away")
"""

OF_ONE_CLIENT = """
from fraiseql_subs import Identity, Security, SubscriptionManager, passthrough

async def authenticate(params):
    return Identity("ada") if params.remote_address.startswith("203.0.113.7:") else None

manager = SubscriptionManager(
    [passthrough("orders", str, channel="orders")],
    security=Security(authenticate=authenticate),
    workers=1,
)
"""


async def start(folder: Path, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "serve", *arguments),
        cwd=folder,
        env={**ENVIRONMENT, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def refused(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    status, out, err = await finish(await start(folder, *arguments, **variables))
    assert out == ""
    return status, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def fields(url: str, **more: str) -> str:
    query = {"query": "{ __schema { subscriptionType { fields { name } } } }"}
    headers = {"content-type": "application/json", **more}
    request = urllib.request.Request(url, json.dumps(query).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


@pytest.mark.parametrize(
    ("target", "field"), [("app:manager", "orders"), ("app", "orders"), ("app:create", "made")]
)
async def test_the_manager_is_served_until_sigterm(folder, target, field):
    process = await start(folder, target, FRAISEQL_SUBS_PORT="0")
    words = (await read_line(process)).split()
    assert words[:5] == ["serving", "GraphQL", "subscriptions", "on", words[4]]
    assert words[4].startswith("ws://127.0.0.1:") and words[6].startswith("http://127.0.0.1:")
    assert f'"{field}"' in await asyncio.to_thread(fields, words[6])
    os.kill(process.pid, signal.SIGTERM)
    assert (await finish(process))[0] == 0


async def test_a_unix_socket_counts_more_than_a_port_of_the_environment(folder):
    variables = {"FRAISEQL_SUBS_PORT": "1"}
    process = await start(folder, "app:manager", "--unix", "app.sock", **variables)
    assert "ws+unix:app.sock:/graphql" in await read_line(process)
    os.kill(process.pid, signal.SIGINT)
    assert (await finish(process))[0] == 0
    assert not (folder / "app.sock").exists()


async def test_proxies_that_are_trusted_tell_the_client(folder):
    (folder / "behind.py").write_text(OF_ONE_CLIENT)
    trusted = ("--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8")
    process = await start(folder, "behind:manager", "--port", "0", *trusted)
    url = (await read_line(process)).split()[6]
    forwarded = {"x-forwarded-for": "203.0.113.7, 10.1.2.3"}
    assert '"orders"' in await asyncio.to_thread(fields, url, **forwarded)
    process.send_signal(signal.SIGTERM)
    assert (await finish(process))[0] == 0


def publish(url: str, key: str) -> int:
    body = json.dumps({"channel": "orders", "data": "paid"}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


OLD, NEW = "the-old-key-of-programs", "the-new-key-of-programs"


@pytest.mark.parametrize("source", ["variable", "file", "file of the environment"])
async def test_programs_publish_with_keys_that_are_not_on_the_command_line(folder, source):
    (folder / "keys").write_text(f"{OLD}\n\n  {NEW}\n")
    arguments = ("--publish-key-file", "keys") if source == "file" else ()
    variables = {
        "variable": {"FRAISEQL_SUBS_PUBLISH_KEY": f"{OLD} {NEW}"},
        # The file counts more.
        "file": {"FRAISEQL_SUBS_PUBLISH_KEY": "another-key-of-programs"},
        "file of the environment": {"FRAISEQL_SUBS_PUBLISH_KEY_FILE": "keys"},
    }[source]
    process = await start(folder, "app:manager", "--port", "0", *arguments, **variables)
    line = await read_line(process)
    url = line.split()[-1]
    assert url.endswith("/publish") and ", programs publish to http://127.0.0.1:" in line
    for key, status in ((OLD, 200), (NEW, 200), ("another-key-of-programs", 401)):
        assert await asyncio.to_thread(publish, url, key) == status
    process.send_signal(signal.SIGTERM)
    status, _, err = await finish(process)
    assert status == 0 and OLD not in err


async def test_without_a_key_nothing_is_published(folder):
    process = await start(folder, "app:manager", "--port", "0", FRAISEQL_SUBS_PUBLISH_KEY="")
    url = (await read_line(process)).split()[-1]
    assert url.endswith("/graphql")
    assert await asyncio.to_thread(publish, url.replace("/graphql", "/publish"), OLD) == 404
    process.send_signal(signal.SIGTERM)
    assert (await finish(process))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "key", "expected", "part"),
    [
        (("--publish-key-file", "none"), "", 1, "--publish-key-file: none cannot be read: No such"),
        (("--publish-key-file", "empty"), "", 1, "--publish-key-file: empty has no key"),
        (("--publish-key-file", "short"), "", 2, "--publish-key-file is a text of 6 characters"),
        (("--publish-key-file", "binary"), "", 1, "--publish-key-file: binary is not UTF-8"),
        ((), "s3cret", 2, "FRAISEQL_SUBS_PUBLISH_KEY is a text of 6 characters"),
        (("--publish-path", "/graphql"), OLD, 2, "--publish-path is '/graphql': that is the path"),
    ],
)
async def test_keys_that_cannot_be_used_are_told(folder, arguments, key, expected, part):
    (folder / "empty").write_text("\n")
    (folder / "short").write_text("s3cret\n")
    (folder / "binary").write_bytes(b"\xff")
    variables = {"FRAISEQL_SUBS_PUBLISH_KEY": key}
    status, err = await refused(folder, "app:manager", "--port", "0", *arguments, **variables)
    assert status == expected
    assert part in err and "s3cret" not in err


LOGGING = """
import logging

from fraiseql_subs.logs import JSONFormatter

handler = logging.StreamHandler({stream})
handler.setFormatter(JSONFormatter())
logging.basicConfig(level="{level}", handlers=[handler])
"""


@pytest.mark.parametrize("more", [(), ("--reload",)])
async def test_a_log_of_json_on_stdout_has_no_other_line(folder, more):
    own = f"import sys\n{LOGGING.format(stream='sys.stdout', level='INFO')}"
    (folder / "logged.py").write_text(own + APP)
    process = await start(folder, "logged:manager", "--port", "0", *more)
    first = json.loads(await read_line(process))
    assert first["event_name"] == "server.listening"
    process.send_signal(signal.SIGTERM)
    status, out, _ = await finish(process)
    assert status == 0
    assert "server.closed" in {json.loads(line)["event_name"] for line in out.splitlines()}


async def test_a_log_that_does_not_say_the_url_leaves_the_line(folder):
    (folder / "quiet.py").write_text(LOGGING.format(stream="", level="WARNING") + APP)
    process = await start(folder, "quiet:manager", "--port", "0")
    assert (await read_line(process)).startswith("serving GraphQL subscriptions on ws://")
    process.send_signal(signal.SIGTERM)
    assert (await finish(process))[0] == 0


async def test_run_prints_no_line_into_a_log_of_json_either(folder):
    own = f"import sys\n{LOGGING.format(stream='sys.stdout', level='INFO')}"
    (folder / "program.py").write_text(own + APP + "\nmanager.run(port=0, main=short)\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "program.py"),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    status, out, _ = await finish(process)
    names = [json.loads(line)["event_name"] for line in out.splitlines()]
    assert (status, names) == (0, ["server.listening", "server.draining", "server.closed"])


async def test_the_time_of_a_drain_is_told_as_people_write_it(folder):
    # `main` takes a part of it.
    process = await start(folder, "app:manager", "--port", "0", "--main", "app:short")
    _, _, err = await finish(process)
    assert re.search(r"drains for up to 10 s$", err, re.MULTILINE), err


async def test_a_proxy_tells_the_client_first_and_shows_the_server_below_a_prefix(folder):
    (folder / "behind.py").write_text(OF_ONE_CLIENT)
    options = ("--trusted-proxy", "127.0.0.1", "--proxy-protocol", "--root-path", "/shop")
    process = await start(folder, "behind:manager", "--port", "0", *options)
    url = urlsplit((await read_line(process)).split()[6])
    assert url.path == "/shop/graphql" and url.port is not None
    async with HeaderProxy(url.port, version_2("203.0.113.7")) as proxy:
        for path in ("/shop/graphql", "/graphql"):
            through = f"http://127.0.0.1:{proxy.port}{path}"
            assert '"orders"' in await asyncio.to_thread(fields, through)
    with pytest.raises(OSError):
        await asyncio.to_thread(fields, url.geturl())
    process.send_signal(signal.SIGTERM)
    status, _, err = await finish(process)
    assert status == 0
    assert "has no PROXY header" in err


async def test_the_header_needs_a_proxy_that_is_trusted(folder):
    status, err = await refused(folder, "app:manager", "--proxy-protocol")
    assert status == 2
    assert "--trusted-proxy is missing" in err


async def test_main_that_returns_ends_the_server(folder):
    process = await start(folder, "app:manager", "--port", "0", "--main", "app:short")
    status, out, _ = await finish(process)
    assert status == 0 and "serving" in out


async def test_main_that_raises_is_told_by_its_own_lines(folder):
    process = await start(folder, "app:manager", "--port", "0", "--main", "app:broken")
    status, _, err = await finish(process)
    assert status == 1
    assert "ValueError: the database is away" in err and "app.py" in err
    assert "fraiseql_subs/" not in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["ap:manager"], "there is no module ap in"),
        (["ap:manager"], "did you mean app?"),
        (["app:managr"], "app has no managr; did you mean manager"),
        (["app:text"], "app:text is of type str"),
        (["app:needs"], "missing a required argument: 'name'"),
        (["app:main"], "is an async function"),
        (["app.py:manager"], "here app:manager"),
        (["app:manager", "--tls-cert", "cert.pem"], "--tls-key is missing"),
        (["app:manager", "--unix", "a", "--port", "1"], "--unix and --port"),
        (["app:manager", "--main", "app:create"], "--main: "),
        (["app:manager", "--app-dir", "nowhere"], "--app-dir: nowhere is no folder"),
    ],
)
async def test_what_names_no_manager_is_refused(folder, arguments, part):
    status, err = await refused(folder, *arguments)
    assert status == 2
    assert part in err


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import missing_library", "No module named 'missing_library'"),
        ("import sys; sys.exit(3)", "sys.exit(3)"),
        (APP + "\nmanager.run(port=0)", 'if __name__ == "__main__":'),
    ],
)
async def test_a_module_that_cannot_be_imported_is_told_by_its_own_lines(tmp_path, code, part):
    (tmp_path / "faulty.py").write_text(code)
    status, err = await refused(tmp_path, "faulty:manager")
    assert status == 1
    assert part in err and "importlib" not in err


async def test_a_port_in_use_is_told(folder):
    first = await start(folder, "app:manager", "--port", "0")
    port = (await read_line(first)).rpartition(":")[2].split("/")[0]
    status, err = await refused(folder, "app:manager", "--port", port)
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err
    first.kill()
    await first.communicate()


@pytest.mark.parametrize(
    ("arguments", "expected", "part"),
    [
        (["broken"], 1, "ValueError: no settings"),
        (["app:manager", "--host", "203.0.113.9"], 1, "203.0.113.9"),
        (["app:manager", "--main", "app:fail"], 1, "ValueError: the database is away"),
        (["app:managr"], 2, "did you mean manager"),
    ],
)
async def test_a_log_of_json_says_why_the_program_has_ended(folder, arguments, expected, part):
    (folder / "broken.py").write_text('raise ValueError("no settings")\n')
    with (folder / "app.py").open("a") as file:
        file.write('\nasync def fail():\n    raise ValueError("the database is away")\n')
    process = await start(folder, *arguments, "--port", "0", "--log-format", "json")
    status, _, err = await finish(process)
    last = json.loads(err.splitlines()[-1])
    assert (status, last["level"], last["event_name"]) == (expected, "ERROR", "program.failed")
    assert part in last["message"]


UNHANDLED = """
import threading, warnings

class Unfinished:
    def __del__(self):
        raise RuntimeError("of a finalizer")

def fail():
    raise LookupError("of a thread")

def happen(when):
    warnings.warn(f"a setting is old: {when}", stacklevel=1)
    thread = threading.Thread(target=fail, name=when)
    thread.start()
    thread.join()
    Unfinished()

happen("import")

async def happens():
    happen("main")
"""


async def test_a_log_of_json_has_warnings_and_unhandled_exceptions(folder):
    with (folder / "app.py").open("a") as file:
        file.write(UNHANDLED)
    arguments = ("app:manager", "--port", "0", "--main", "app:happens", "--log-format", "json")
    process = await start(folder, *arguments)
    status, _, err = await finish(process)
    assert status == 0
    records = [json.loads(line) for line in err.splitlines()]
    for when in ("import", "main"):
        (warning,) = [each for each in records if f"a setting is old: {when}" in each["message"]]
        assert (warning["level"], warning["logger"]) == ("WARNING", "py.warnings")
        thread = f"an exception ends thread {when}: LookupError: of a thread"
        (raised,) = [each for each in records if each["message"] == thread]
        assert (raised["level"], raised["event_name"]) == ("ERROR", "exception.unhandled")
        assert 'raise LookupError("of a thread")' in raised["exception"]
    finalized = [each for each in records if "RuntimeError: of a finalizer" in each["message"]]
    assert len(finalized) == 2 and all("__del__" in each["message"] for each in finalized)


async def test_a_module_that_configures_logging_keeps_what_python_prints(folder):
    with (folder / "app.py").open("a") as file:
        file.write("import logging\nlogging.basicConfig(format='%(message)s')\n")
        file.write(UNHANDLED.replace('happen("import")', ""))
    arguments = ("app:manager", "--port", "0", "--main", "app:happens", "--log-format", "json")
    status, _, err = await finish(await start(folder, *arguments))
    assert status == 0
    assert "UserWarning: a setting is old: main" in err
    assert "Exception in thread main" in err and "exception.unhandled" not in err
