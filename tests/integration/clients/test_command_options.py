"""Errors of the command `fraiseql-subs` name its options; those without effect are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE
from support.programs import ENVIRONMENT

from fraiseql_subs.commands._options import option_text

APP = """
from fraiseql_subs import SubscriptionManager, passthrough

manager = SubscriptionManager([passthrough("orders", str, channel="orders")])
"""

SERVE = ("serve", "app:manager")
PUBLISH = ("publish", "orders", "7")
REDIS = ("--to", "redis://127.0.0.1:1")
HTTP = ("--to", "http://127.0.0.1:1/publish")
CODEGEN = ("codegen", "--target", "app:manager")

REFUSED = {
    "port": ((*SERVE, "--port", "70000"), "--port is 70000: pass a whole number from 0 to 65535"),
    "host": ((*SERVE, "--host", "a b"), "--host is 'a b': pass a name or an address"),
    "unix": ((*SERVE, "--unix", ""), "--unix is '': pass the path of a socket"),
    "unix and TLS": (
        (*SERVE, "--unix", "a.sock", "--tls-cert", "c", "--tls-key", "k"),
        "--unix and --tls-cert: a Unix socket has no host, port or TLS",
    ),
    "path": ((*SERVE, "--path", "graphql"), "--path is 'graphql': use one that begins with `/`"),
    "workers": ((*SERVE, "--workers", "0"), "--workers=0: pass a count from 1 to 256"),
    "drain": ((*SERVE, "--drain", "-1"), "--drain is -1.0: pass a number of seconds from 0"),
    "drain of processes": ((*SERVE, "--reload", "--drain", "nan"), "--drain is nan: pass a"),
    "proxy": ((*SERVE, "--trusted-proxy", "here"), "--trusted-proxy is 'here': pass addresses"),
    "path of publishing": (
        (*SERVE, "--publish-path", "/events"),
        "--publish-path is '/events': it needs a key as well: set FRAISEQL_SUBS_PUBLISH_KEY",
    ),
    "main": ((*SERVE, "--main", "app:manager"), "--main: app:manager cannot be awaited: pass an"),
    "no schema": (("codegen",), "name the schema by --target app:manager or --schema FILE"),
    "two schemas": ((*CODEGEN, "--schema", "a"), "--target and --schema name one schema each"),
    "no module of a type": (
        (*CODEGEN, "--data", "orders=models.Order"),
        "--data models.Order: there is no module models in ",
    ),
    "no such type": (
        (*CODEGEN, "--data", "orders=app.Order"),
        "--data app.Order: app has no Order",
    ),
    "a type without a module": (
        (*CODEGEN, "--data", "orders=Order"),
        "--data: Order is no type of Python: write its module too, app.models.Order",
    ),
    "sync without functions": (
        ("codegen", "--schema", "schema.graphql", "--sync"),
        "--sync is for functions that publish: name --target app:manager",
    ),
    "history": ((*PUBLISH, *REDIS, "--history-events", "0"), "--history-events is 0: pass a whole"),
    "age of history": (
        (*PUBLISH, *REDIS, "--history-seconds", "0"),
        "--history-seconds is 0.0: pass",
    ),
    "history of a server": (
        (*PUBLISH, *HTTP, "--history-events", "9"),
        "--history-events: the server",
    ),
    "tenants of a server": ((*PUBLISH, *HTTP, "--isolated"), "--isolated: the server"),
    "key of an engine": ((*PUBLISH, *REDIS, "--key-env", "MINE"), "--key-env: only a URL of HTTP"),
    "folder of no module": ((*PUBLISH, *REDIS, "--app-dir", "."), "--app-dir: there is no module"),
    "a role without a name": (
        ("postgres", "install", "--print", "--node", ""),
        "Invalid value for '--node': it is empty: write a name",
    ),
    "a slot without a name": (
        ("postgres", "uninstall", "--print", "--slot", ""),
        "Invalid value for '--slot': it is empty: write a name",
    ),
    "another protocol": (
        (*PUBLISH, "--to", "ftp://127.0.0.1"),
        '--to: the scheme "ftp" is unknown: write http://, https://, redis://',
    ),
}

FOR_PROGRAMS = ("=...", "=None", "or None", "history=", "publish_key", "trusted_proxies", "port=")


def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "fraiseql_subs", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "schema.graphql").write_text("type Query { ok: Boolean }")
    return tmp_path


@pytest.mark.parametrize(("arguments", "text"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_option_is_named_as_it_is_written(folder, arguments, text):
    status, out, err = run(folder, *arguments)
    assert (status, out) == (2, ""), err
    assert f"Error: {text}" in err
    assert not [part for part in FOR_PROGRAMS if part in err], err


@pytest.mark.parametrize(("file", "option"), [("cert", "--tls-cert"), ("key", "--tls-key")])
def test_a_file_of_tls_that_cannot_be_read_is_named_by_its_option(folder, file, option):
    (folder / "there").write_text("no certificate")
    files = {"cert": "there", "key": "there", file: "missing.pem"}
    options = ("--port", "0", "--tls-cert", files["cert"], "--tls-key", files["key"])
    status, out, err = run(folder, *SERVE, *options)
    assert (status, out) == (1, "")
    assert f"Error: {option} cannot be read" in err and "missing.pem" in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--json", "--check", "schema.graphql"), "schema.graphql is no JSON: compare SDL without"),
        (("--check", "schema.json"), "schema.json is JSON: compare it with --json"),
        (("--check", "schema.json", "--only-breaking"), "schema.json is JSON: compare it with"),
    ],
)
def test_a_schema_in_the_other_form_is_told(folder, arguments, part):
    assert run(folder, "schema", "app", "--json", "--output", "schema.json")[0] == 0
    status, out, err = run(folder, "schema", "app", *arguments)
    assert (status, out) == (1, "")
    assert part in err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("port is 1: pass a port", "--port is 1: pass a port"),
        ("unix= and port=: use one", "--unix and --port: use one"),
        ("workers=0: pass a count", "--workers=0: pass a count"),
        ("the port is used", "the port is used"),
        ("unix is '': pass a path, or None", "--unix is '': pass a path"),
    ],
)
def test_settings_are_replaced_where_they_are_written_as_settings(error, told):
    options = {name: f"--{name}" for name in ("port", "unix", "workers")}
    assert option_text(ValueError(error), options) == told
