"""The documents tell the truth: their code runs, their links resolve, their tables are complete.

A Python block compiles. One that begins with `# run: name.py` is a program: it is run, on a free
port, until it ends or has run for two seconds without an error. One that begins with
`# test: test_x.py` is passed by pytest, one that begins with `# file: name.py` is imported.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fraiseql_subs
from fraiseql_subs import FraiseQLSubsError, GraphQLError, History, Limits, Metrics

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, code in enumerate(BLOCK.findall(page.read_text()), 1):
            found.append((f"{page.relative_to(ROOT)}:{number}", code))
    return found


def named(kind: str) -> list:
    pattern = re.compile(rf"# {kind}: (\S+)\n")
    return [
        pytest.param(match[1], code, id=where)
        for where, code in blocks()
        if (match := pattern.match(code))
    ]


@pytest.mark.parametrize("code", [pytest.param(code, id=where) for where, code in blocks()])
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
        _, err = process.communicate(timeout=2)
    except subprocess.TimeoutExpired:
        # It serves until somebody ends it.
        process.kill()
        _, err = process.communicate()
    else:
        assert process.returncode == 0, err
    assert err == ""


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
