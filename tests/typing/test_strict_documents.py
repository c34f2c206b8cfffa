"""The Python of README, documents and examples under `mypy --strict` and pyright in strict mode.

All blocks are checked together, in one run of each checker, as modules of their own. A block that
imports another block of its page, by the name in its marker, imports that module.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest
from checker import by_file, check
from support.paths import EXAMPLES, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<marks>(?:^<!--[^\n]*-->\n+)*)^ *```(?:python|py)[^\n]*\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
NAMED = re.compile(r"(?:#|<!--) (?:(?:file|run|test|client): )?([\w/]+)\.py\b")

ELSEWHERE = {"docs/how-to/typed-code.md"}
"""Pages whose test checks the types itself, with the module that is generated."""

UNTYPED = (
    *("arq", "asyncpg", "celery", "channels", "django", "uvicorn_worker"),
    *("fastapi.testclient", "litestar"),
)
"""Packages without types, or with unknown ones: strict modes complain wherever they are used."""

FOREIGN = ("broadcaster", "channels_graphql_ws", "graphene")
"""Packages that programs are migrated from: their code is shown as it is."""

LENIENT = """\
# mypy: disable-error-code="import-untyped,import-not-found,misc,untyped-decorator"
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportAssignmentType=false, reportUnusedCoroutine=false
"""
"""Begins the modules that use packages without types."""


def uses(code: str, packages: tuple[str, ...]) -> bool:
    names = "|".join(packages)
    return re.search(rf"^(?:from|import) (?:{names})\b", code, re.MULTILINE) is not None


def module_name(page: Path, number: int) -> str:
    """Return a name that no other block has."""
    return re.sub(r"\W", "_", f"{page.relative_to(ROOT).with_suffix('')}_{number}")


def modules(page: Path) -> dict[str, str]:
    """Return the blocks of a page, by module."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    for number, block in enumerate(BLOCK.finditer(page.read_text()), 1):
        code = textwrap.dedent(block["code"])
        for name, module in names.items():
            pattern = rf"^(from|import) {re.escape(name)}\b"
            code = re.sub(pattern, rf"\1 {module}", code, flags=re.MULTILINE)
        module = module_name(page, number)
        if (mark := NAMED.search(block["marks"]) or NAMED.match(code)) is not None:
            names[mark[1].replace("/", ".")] = module
        if not uses(code, FOREIGN):
            found[module] = LENIENT + code if uses(code, UNTYPED) else code
    return found


MISTAKES = "mistakes.py"
"""A module that both have to complain about, as it has no types."""


@pytest.fixture
def written(tmp_path):
    """A folder with a module for each block."""
    (tmp_path / MISTAKES).write_text("def untyped(event): return event.data\n")
    for page in PAGES:
        if page.relative_to(ROOT).as_posix() not in ELSEWHERE:
            for module, code in modules(page).items():
                (tmp_path / f"{module}.py").write_text(code)
    assert len([*tmp_path.iterdir()]) > 80
    return tmp_path


@pytest.fixture
def of_mypy(written):
    """Its messages, by file."""
    # `--strict` alone: a function that is never called may have an unreachable `yield`.
    report = check(sorted(written.glob("*.py")), written / "cache", "--no-warn-unreachable")
    return by_file(report)


@pytest.fixture
def of_pyright(written):
    """Its messages, by file."""
    pytest.importorskip("pyright")
    settings = {
        "typeCheckingMode": "strict",
        "include": [".", str(EXAMPLES)],
        "extraPaths": [str(ROOT)],
        "reportMissingModuleSource": False,
        # Settings of Django that begin with all of another module.
        "reportConstantRedefinition": False,
    }
    (written / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
        cwd=written,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len([*written.glob("*.py")])
    errors = defaultdict(list)
    for said in report["generalDiagnostics"]:
        if said["severity"] == "error":
            line = said["range"]["start"]["line"] + 1
            errors[Path(said["file"]).name].append((line, said["message"]))
    return errors


def test_the_documents_pass_strict_mypy(of_mypy):
    assert of_mypy.pop(MISTAKES) != []
    assert of_mypy == {}


def test_the_documents_and_the_examples_pass_strict_pyright(of_pyright):
    assert of_pyright.pop(MISTAKES) != []
    assert of_pyright == {}
