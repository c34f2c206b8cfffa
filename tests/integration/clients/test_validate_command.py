"""The command `fraiseql-subs validate`: documents are checked as the server would check them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE
from support.programs import ENVIRONMENT

from fraiseql_subs import SubscriptionManager, ValidationError, passthrough

APP = """
from dataclasses import dataclass
from fraiseql_subs import Limits, SubscriptionManager, passthrough

@dataclass
class Order:
    id: int
    note: str

manager = SubscriptionManager(
    [passthrough("orders", Order, channel="orders")],
    bus="redis://127.0.0.1:1",
    limits=Limits(max_aliases=1),
    trusted_documents={"Ids": "subscription Ids { orders { id } }"},
)
"""

SDL = "type Query { ok: Boolean } type Subscription { orders(user: ID!): Int }"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    web = tmp_path / "web" / "deep"
    web.mkdir(parents=True)
    (web / "good.graphql").write_text("subscription { orders { id note } }")
    (web / "notes.txt").write_text("no document")
    (tmp_path / "schema.graphql").write_text(SDL)
    return tmp_path


def validate(folder: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "fraiseql_subs", "validate", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"},
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    err = done.stderr.decode()
    assert "Traceback" not in err, err
    return done.returncode, done.stdout.decode(), err


def test_the_documents_of_a_folder_are_checked(folder):
    target = ("web", "--target", "app:manager")
    assert validate(folder, *target) == (0, "", "1 document: 0 problems\n")
    (folder / "web" / "bad.gql").write_text("subscription {\n  orders {\n    idd\n  }\n}\n")
    status, out, err = validate(folder, *target)
    assert (status, err) == (1, "2 documents: 1 problem\n")
    first, source, caret = out.splitlines()
    assert first.startswith(f"{Path('web') / 'bad.gql'}:3:5: ") and '"idd"' in first
    assert source == "        idd" and caret == "        ^"


def test_a_file_that_is_named_twice_is_one_document(folder):
    good = "web/deep/good.graphql"
    status, _, err = validate(folder, good, "web", good, "--target", "app:manager")
    assert (status, err) == (0, "1 document: 0 problems\n")


@pytest.mark.parametrize(
    ("document", "line", "column", "part"),
    [
        ("subscription { a", 1, 17, "Syntax Error"),
        ("subscription { a: orders { id } b: orders { id } }", 0, 0, "aliases"),
        ('# "\U0001f353"\r\nsubscription { orders { id nothing } }', 2, 28, '"nothing"'),
        ('subscription { orders { id x(y: "\U0001f353") nothing } }', 1, 28, '"x"'),
    ],
)
def test_problems_are_told_as_json(folder, document, line, column, part):
    options = ("-", "--target", "app", "--format", "json")
    status, out, err = validate(folder, *options, stdin=document.encode())
    assert status == 1 and err.startswith("1 document: ")
    problem = json.loads(out)[0]
    assert problem["file"] == "stdin" and part in problem["message"]
    if line:
        assert (problem["line"], problem["column"]) == (line, column)


def test_annotations_escape_what_would_end_them(folder):
    name = "odd, 50%: a.graphql"
    (folder / name).write_text("subscription { no }")
    status, out, _ = validate(folder, name, "--target", "app", "--format", "github")
    assert status == 1
    assert out.startswith("::error file=odd%2C 50%25%3A a.graphql,line=1,col=16::")
    assert len(out.splitlines()) == 1


def test_a_schema_is_enough(folder):
    options = ("-", "--schema", "schema.graphql")
    status, out, _ = validate(folder, *options, stdin=b'subscription { orders(user: "7") }')
    assert (status, out) == (0, "")
    status, out, _ = validate(folder, *options, stdin=b"\tsubscription { orders }")
    assert status == 1 and '"user"' in out
    # The tab is repeated, so that the caret stands below the field whatever its width is.
    assert out.splitlines()[2] == "    \t" + " " * 15 + "^"


@pytest.mark.parametrize(
    ("arguments", "expected", "part"),
    [
        (["web"], 2, "--target app:manager or --schema FILE"),
        (["web", "--target", "app", "--schema", "schema.graphql"], 2, "--schema FILE"),
        ([], 2, "Missing argument 'DOCUMENTS...'"),
        (["none.graphql", "--target", "app"], 1, "none.graphql cannot be read: No such file"),
        (["web/deep/binary", "--target", "app"], 1, "is not UTF-8"),
        (["empty", "--target", "app"], 1, "no file *.graphql or *.gql in empty"),
        (["web", "--schema", "app.py"], 1, "--schema: app.py has no schema"),
        (["web", "--target", "nothing"], 2, "there is no module nothing"),
    ],
)
def test_what_cannot_be_checked_is_told(folder, arguments, expected, part):
    (folder / "web" / "deep" / "binary").write_bytes(b"\xff\xfe")
    (folder / "empty").mkdir()
    status, out, err = validate(folder, *arguments)
    assert (status, out) == (expected, ""), err
    assert part in err


def test_a_program_checks_a_document_without_running_it():
    manager = SubscriptionManager([passthrough("orders", int, channel="orders")])
    manager.validate("subscription { orders }")
    with pytest.raises(ValidationError, match="nothing") as refusal:
        manager.validate("subscription { nothing }")
    assert refusal.value.errors[0]["locations"] == [{"line": 1, "column": 16}]
    with pytest.raises(ValidationError, match="surrogate"):
        manager.validate("subscription { \ud800 }")
