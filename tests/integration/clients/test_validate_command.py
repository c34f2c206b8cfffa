"""The command `fraiseql-subs validate`: documents are checked as the server would check them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE
from support.programs import ENVIRONMENT

from fraiseql_subs import SubscriptionManager, ValidationError, passthrough
from fraiseql_subs.commands._documents import read_documents

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

GUARDED = """
from dataclasses import dataclass
from fraiseql_subs import RBAC, Limits, Scope, Security, SubscriptionManager, passthrough

@dataclass
class Order:
    id: int
    total: int

manager = SubscriptionManager(
    [passthrough("orders", Order, channel="orders", arguments={"user": str})],
    limits=Limits(max_depth=9, max_directives=None),
    security=Security(
        rbac=RBAC({"Order.total": "orders:finance"}, {"orders": "orders:read"}),
        scope=Scope({"user": "$identity.user_id"}),
    ),
)
"""

ALL = (
    "subscription Mine($user: String!) { orders(user: $user) { id ...Sum one: id } }"
    " fragment Sum on Order { total @skip(if: false) } query All { __typename more: __typename }"
)

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
        (["web", "--target", "app", "--schema", "schema.graphql"], 2, "leave out one of them"),
        ([], 2, "Missing argument 'DOCUMENTS...'"),
        (["web", "--schema", "app.py"], 1, "--schema: app.py has no schema"),
        (["web", "--schema", "binary"], 1, "--schema: binary is not UTF-8"),
        (["web", "--schema", "web"], 1, "--schema: web cannot be read: Is a directory"),
        (["web", "--target", "app", "--counts", "--format", "github"], 2, "leave --format github"),
        (["web", "--target", "nothing"], 2, "there is no module nothing"),
    ],
)
def test_what_cannot_be_checked_is_told(folder, arguments, expected, part):
    (folder / "binary").write_bytes(b"\xff\xfe")
    status, out, err = validate(folder, *arguments)
    assert (status, out) == (expected, ""), err
    assert part in err


def test_what_cannot_be_read_is_one_more_problem(folder):
    web = folder / "web"
    (web / "binary.graphql").write_bytes(b"# \xc3\xa9 \xf0\x9f\x8d\x93\nsubscription { \xff }")
    (web / "blank.gql").write_text(" \n")
    (web / "circle.graphql").symlink_to(web / "circle.graphql")
    (web / "gone.graphql").symlink_to(web / "nothing")
    (web / "folder.graphql").mkdir()
    os.mkfifo(web / "pipe.graphql")
    (folder / "empty").mkdir()
    places = ("web", "none.graphql", "empty", "x" * 300)
    status, out, err = validate(folder, *places, "--target", "app", "--format", "json")
    problems = {each["file"]: each for each in json.loads(out)}
    told = {Path(file).name: each["message"] for file, each in problems.items()}
    assert status == 1 and err.endswith("7 problems\n")
    assert told == {
        "binary.graphql": "the file is not UTF-8: the byte 0xff cannot stand here",
        "blank.gql": "the file is empty: write an operation, or remove it",
        "circle.graphql": "the file cannot be read: Too many levels of symbolic links",
        "gone.graphql": "the file cannot be read: No such file or directory",
        "none.graphql": "the file cannot be read: No such file or directory",
        "empty": "the folder has no file *.graphql or *.gql",
        "x" * 300: "the file cannot be read: File name too long",
    }
    binary = problems[str(Path("web") / "binary.graphql")]
    assert (binary["line"], binary["column"]) == (2, 16)
    status, out, _ = validate(folder, "web", "--target", "app")
    assert status == 1
    assert f"{Path('web') / 'binary.graphql'}:2:16: the file is not UTF-8" in out


def test_a_folder_that_cannot_be_read_is_one_more_problem(folder, monkeypatch):
    def scandir(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", scandir)
    (document,) = read_documents([str(folder)])
    assert document.problem is not None and document.problem.file == str(folder)
    assert document.problem.message == "the folder cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"\xff", "the file is not UTF-8: the byte 0xff cannot stand here"),
        (b"", "the file is empty: write an operation, or remove it"),
    ],
)
def test_stdin_is_checked_like_a_file(folder, stdin, message):
    options = ("-", "--target", "app", "--format", "json")
    status, out, _ = validate(folder, *options, stdin=stdin)
    (problem,) = json.loads(out)
    assert (status, problem["file"], problem["message"]) == (1, "stdin", message)
    text = b"\xef\xbb\xbfsubscription { orders { id } }"
    assert validate(folder, *options, stdin=text)[0] == 0


def test_a_closed_stdin_is_told(folder):
    command = f"{sys.executable} -m fraiseql_subs validate - --target app <&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert done.stdout == b"stdin: the file cannot be read: it is closed\n"


def test_the_counts_of_documents_stand_beside_the_limits(folder):
    (folder / "guarded.py").write_text(GUARDED)
    (folder / "web" / "all.graphql").write_text(ALL)
    (folder / "web" / "bad.graphql").write_text("subscription { no }")
    documents = ("web/all.graphql", "web/bad.graphql", "--target", "guarded", "--counts")
    status, out, err = validate(folder, *documents)
    assert (status, err) == (1, "2 documents: 1 problem\n")
    told = out[out.index("web/all.graphql: ") :].splitlines()
    assert told[1:] == [
        "  subscription Mine: depth 2 of 9, fields 4 of 1000, aliases 1 of 100, directives 1,"
        " root fields 1",
        "    needs orders:finance for Order.total",
        "    needs orders:read for Subscription.orders",
        "    needs the client's own value as the argument user",
        "  query All: depth 1 of 9, fields 2 of 1000, aliases 1 of 100, directives 0,"
        " root fields 2",
    ]
    assert told[0] == f"web/all.graphql: tokens 48 of 5000, {len(ALL)} bytes"


def test_the_counts_of_documents_are_told_as_json(folder):
    (folder / "guarded.py").write_text(GUARDED)
    options = ("--target", "guarded", "--counts", "--format", "json")
    status, out, _ = validate(folder, "-", *options, stdin=ALL.encode())
    told = json.loads(out)
    assert (status, told["problems"]) == (0, [])
    assert told["limits"] == {
        "max_tokens": 5000,
        "max_depth": 9,
        "max_complexity": 1000,
        "max_aliases": 100,
        "max_directives": None,
    }
    (document,) = told["documents"]
    assert (document["file"], document["bytes"], document["tokens"]) == ("stdin", len(ALL), 48)
    mine, query = document["operations"]
    assert mine == {
        "kind": "subscription",
        "name": "Mine",
        "depth": 2,
        "fields": 4,
        "aliases": 1,
        "directives": 1,
        "root_fields": 1,
        "permissions": [
            {"field": "Order.total", "any_of": [["orders:finance"]]},
            {"field": "Subscription.orders", "any_of": [["orders:read"]]},
        ],
        "scope": ["user"],
    }
    assert (query["kind"], query["name"], query["permissions"], query["scope"]) == (
        "query",
        "All",
        [],
        [],
    )


def test_permissions_of_directives_are_told(folder):
    (folder / "schema.graphql").write_text(
        "directive @requiresScopes(scopes: [[String!]!]!) on FIELD_DEFINITION\n"
        "directive @authenticated on FIELD_DEFINITION\n"
        "type Query { ok: Boolean } type Subscription {\n"
        '  one: Int @requiresScopes(scopes: [["a", "b"], ["c"]])\n  two: Int @authenticated\n}'
    )
    options = ("-", "--schema", "schema.graphql", "--counts")
    _, out, _ = validate(folder, *options, stdin=b"subscription { one }")
    assert "    needs a and b or c for Subscription.one\n" in out
    _, out, _ = validate(folder, *options, stdin=b"subscription { two }")
    assert "    needs an identity for Subscription.two\n" in out


def test_a_program_checks_a_document_without_running_it():
    manager = SubscriptionManager([passthrough("orders", int, channel="orders")])
    manager.validate("subscription { orders }")
    with pytest.raises(ValidationError, match="nothing") as refusal:
        manager.validate("subscription { nothing }")
    assert refusal.value.errors[0]["locations"] == [{"line": 1, "column": 16}]
    with pytest.raises(ValidationError, match="surrogate"):
        manager.validate("subscription { \ud800 }")
