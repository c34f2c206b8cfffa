"""Tests are independent of each other: objects that they leave behind, and resources they count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import TESTS

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
markers = alone
"""


def run(folder: Path, code: str) -> str:
    """Run these tests in a process; returns the output of pytest."""
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_some.py").write_text(code)
    # In the order of the file.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:randomly"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout


@pytest.mark.parametrize("fault", ["assert not left", "raise ValueError"])
def test_what_a_failure_leaves_open_fails_no_other_test(fault, tmp_path):
    said = run(
        tmp_path,
        f"""
import gc, socket

def test_that_fails():
    left = socket.socket()
    {fault}

def test_that_comes_next():
    gc.collect()

def test_that_fails_as_well():
    assert False

def test_that_comes_last():
    gc.collect()
""",
    )
    assert "2 failed, 2 passed" in said, said


def test_objects_that_a_passing_test_leaves_open_are_reported(tmp_path):
    said = run(
        tmp_path,
        """
import gc, socket

def test_that_leaves_a_socket():
    socket.socket()
    gc.collect()
""",
    )
    assert "1 failed" in said, said
    assert "unclosed <socket.socket" in said


def test_a_test_that_is_marked_alone_has_a_process_of_its_own(tmp_path):
    said = run(
        tmp_path,
        """
import os, pytest

ours = []

def test_that_leaves_something():
    ours.append(1)

@pytest.mark.alone
def test_alone():
    assert not ours

@pytest.mark.alone
def test_alone_and_failing():
    assert "seen" == "by its neighbours"
""",
    )
    assert "1 failed, 2 passed" in said, said
    assert "by its neighbours" in said
