"""A wheel, as a user has it: what it contains, and the tutorial in a new environment.

It is packed from the debug build that the other tests use. `make test-wheel` does the same with the
release, where its size counts too.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("maturin") is None, reason="an environment that builds nothing"
    ),
    pytest.mark.timeout(1200),
]


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_installs_and_runs_the_tutorial(tmp_path: Path):
    build = ["-m", "maturin", "build", "--profile", "dev", "--strip", "--out", str(tmp_path)]
    run(*build, "--compression-method", "stored", "--interpreter", sys.executable)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp310-abi3-" in wheel.name
    run("tools/check_wheel.py", "--any-build", str(wheel))
    assert "runs the tutorial" in run("tools/try_wheel.py", str(wheel))
