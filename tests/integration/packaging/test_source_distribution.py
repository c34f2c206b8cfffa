"""The source distribution, and what a build asks for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.paths import ROOT

PAGE = "fraiseql_subs/graphiql/index.html"

builds = pytest.mark.skipif(
    importlib.util.find_spec("maturin") is None, reason="an environment that builds nothing"
)


def call(folder: Path, hook: str) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend, as pip does."""
    code = f"import sys; sys.path.insert(0, 'tools'); import build_backend; build_backend.{hook}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command, variables = [sys.executable, "-c", code], {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


@builds
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the files under version control")
def test_the_source_distribution_is_the_repository_and_the_page(tmp_path):
    done = call(ROOT, f"build_sdist({str(tmp_path)!r})")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    tracked = ["git", "ls-files", "-z"]
    kept = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tarfile.open(archive) as sources:
        found = {name.partition("/")[2] for name in sources.getnames()}
        for member in sources.getmembers():
            file = sources.extractfile(member)
            assert file is None or b"\n-----BEGIN PRIVATE" + b" KEY" not in b"\n" + file.read()
    there = {path for path in kept.split("\0") if path and (ROOT / path).exists()}
    assert found == {*there, PAGE, "PKG-INFO"}


@builds
@pytest.mark.parametrize("hook", ["build_wheel('.')", "build_sdist('.')"])
def test_nothing_is_built_without_the_page(hook, tmp_path):
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/build_backend.py", tmp_path / "tools")
    done = call(tmp_path, hook)
    assert done.returncode == 1
    assert "index.html is missing" in done.stderr
    assert "make graphiql" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_licences_are_those_of_what_is_linked():
    check = [sys.executable, "tools/third_party.py", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
