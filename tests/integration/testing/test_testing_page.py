"""The tests on the page about testing pass, each with the application of the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support.paths import ROOT

BLOCK = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_tests_of_the_page_pass(tmp_path):
    page = (ROOT / "docs" / "how-to" / "testing.md").read_text()
    blocks = BLOCK.findall(page)
    programs = [code for language, code in blocks if language == "python"]
    (settings,) = [code for language, code in blocks if language == "toml"]
    (tmp_path / "pyproject.toml").write_text(settings)
    application, *tests = programs
    (tmp_path / "shop.py").write_text(application)
    for number, code in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    # Where the package is not installed, its entry point is missing.
    command += ["-p", "fraiseql_subs.testing.plugin"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    written = sum(code.count("def test_") for code in tests)
    assert f"{written} passed" in done.stdout and written >= 10
