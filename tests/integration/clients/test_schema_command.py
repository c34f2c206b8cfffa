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


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_changes_that_break_clients_are_told(folder, form):
    assert schema(folder, "app", *form, "--output", "known") == (0, "", "")
    added = APP.replace("    id: int", "    id: int\n    key: str")
    (folder / "newer.py").write_text(added.replace("note: str | None = None", "note: int = 0"))
    status, out, err = schema(folder, "newer", *form, "--check", "known")
    assert status == 1
    told = [line for line in out.splitlines() if "break" in line]
    assert [line.partition(": ")[0] for line in told] == ["breaks clients"]
    assert "Order.note changed type from String to Int!" in told[0]
    assert "(1 breaking change)" in err
    assert schema(folder, "newer", *form, "--check", "known", "--only-breaking")[0] == 1
    (folder / "newer.py").write_text(added)
    status, out, _ = schema(folder, "newer", *form, "--check", "known")
    assert (status, out.splitlines()[-1]) == (1, "no change breaks clients")
    status, out, err = schema(folder, "newer", *form, "--check", "known", "--only-breaking")
    assert (status, err) == (0, "")
    assert "key" in out


def test_changes_that_may_break_clients_are_told_apart(folder):
    kinds = "from typing import Literal\nfrom typing_extensions import TypeAliasType\n"
    kinds += 'Kind = TypeAliasType("Kind", Literal["NEW"])\n'
    app = kinds + APP.replace("note: str | None", "note: Kind | None")
    (folder / "app.py").write_text(app)
    schema(folder, "app", "--output", "known")
    (folder / "app.py").write_text(app.replace('["NEW"]', '["NEW", "OLD"]'))
    status, out, err = schema(folder, "app", "--check", "known")
    told = out.splitlines()[-1]
    assert (status, told.startswith("may break clients: "), "OLD" in told) == (1, True, True)
    assert "(0 breaking changes)" in err
    assert schema(folder, "app", "--check", "known", "--only-breaking")[0] == 0


def test_a_file_that_is_no_schema_is_told(folder):
    (folder / "known").write_text("type {")
    status, out, err = schema(folder, "app", "--check", "known")
    assert (status, out[:9]) == (1, "--- known")
    assert "known is no schema, so breaking changes are unknown: Syntax Error" in err
    status, _, err = schema(folder, "app", "--check", "known", "--only-breaking")
    assert status == 1
    assert "known is no schema: Syntax Error" in err
    assert schema(folder, "app", "--only-breaking")[0] == 2
