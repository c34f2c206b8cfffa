"""The command `fraiseql-subs schema`: prints, writes and compares what a manager serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from graphql import build_client_schema, build_schema, print_schema
from support import PATIENCE
from support.programs import ENVIRONMENT

APP = """
from dataclasses import dataclass
from fraiseql_subs import SubscriptionManager, passthrough

@dataclass
class Order:
    "An order: caf\\u00e9."
    id: int
    note: str | None = None

# No command may connect to it.
manager = SubscriptionManager(
    [passthrough("orders", Order, channel="orders")], bus="redis://127.0.0.1:1"
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def schema(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "fraiseql_subs", "schema", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    # The traceback of a module has no lines of the package.
    assert f"{Path('fraiseql_subs') / 'commands'}" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_sdl_and_introspection_are_of_one_schema(folder):
    status, sdl, err = schema(folder, "app:manager")
    assert (status, err) == (0, "")
    assert "café" in sdl and "orders: Order!" in sdl
    status, text, err = schema(folder, "app", "--json")
    assert (status, err) == (0, "")
    introspected = build_client_schema(json.loads(text)["data"])
    assert print_schema(introspected) == print_schema(build_schema(sdl))


def test_a_file_is_written_and_checked(folder):
    file = folder / "schema.graphql"
    assert schema(folder, "app", "--output", "schema.graphql") == (0, "", "")
    assert file.read_text("utf-8") == schema(folder, "app")[1]
    assert list(folder.glob(".schema*")) == []
    assert schema(folder, "app", "--check", "schema.graphql") == (0, "", "")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert schema(folder, "app", "--check", "schema.graphql") == (0, "", "")
    file.write_text(file.read_text("utf-8").replace("note: String", "note: Int"), "utf-8")
    status, out, err = schema(folder, "app", "--check", "schema.graphql")
    assert status == 1
    assert "-  note: Int\n+  note: String\n" in out
    assert "fraiseql-subs schema app --output schema.graphql" in err


def test_a_written_file_keeps_its_permissions(folder):
    file = folder / "schema.graphql"
    file.write_text("")
    file.chmod(0o640)
    assert schema(folder, "app", "--output", "schema.graphql") == (0, "", "")
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("arguments", "expected", "part"),
    [
        (["app", "--check", "missing.graphql"], 1, "missing.graphql cannot be read: No such file"),
        (["app", "--output", "no/such/file"], 1, "no/such/file cannot be written: No such file"),
        (["app", "--check", "a", "--output", "b"], 2, "use one of them"),
        (["app:managr"], 2, "did you mean manager?"),
        ([], 2, "Missing argument 'TARGET'"),
    ],
)
def test_what_cannot_be_done_is_told(folder, arguments, expected, part):
    status, out, err = schema(folder, *arguments)
    assert (status, out) == (expected, "")
    assert part in err


def test_a_schema_that_cannot_be_built_is_told(folder):
    (folder / "wrong.py").write_text(
        "from fraiseql_subs import SubscriptionManager\nmanager = SubscriptionManager([object()])\n"
    )
    status, out, err = schema(folder, "wrong:manager")
    assert (status, out) == (1, "")
    assert 'wrong.py", line 2' in err and "pass functions decorated with" in err
