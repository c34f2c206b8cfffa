"""The workflow that publishes: what has to pass before it, and whose code runs in it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.paths import ROOT

VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)


@pytest.fixture
def jobs() -> dict[str, Any]:
    read = YAML(typ="safe").load((ROOT / ".github/workflows/release.yml").read_text())
    return dict(read["jobs"])


def check_tag(tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/check_tag.py", tag]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_tag_names_the_version_of_the_package():
    assert VERSION is not None
    assert check_tag(f"v{VERSION[1]}").returncode == 0


@pytest.mark.parametrize("tag", ["v0.0.1", "v0.1.0-other", "0.1.0", "v"])
def test_another_tag_is_refused(tag):
    assert VERSION is not None
    refused = check_tag(tag)
    assert refused.returncode == 1
    assert f"the tag of this version is v{VERSION[1]}, and not {tag}" in refused.stderr


def test_all_that_is_checked_is_checked_before_it_is_published(jobs):
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"


def test_a_job_that_may_publish_runs_commits_that_cannot_be_moved(jobs):
    trusted = [job for job in jobs.values() if "id-token" in job.get("permissions", {})]
    actions = [step["uses"] for job in trusted for step in job["steps"]]
    assert actions
    assert [name for name in actions if not re.search(r"@[0-9a-f]{40}$", name)] == []


def test_each_wheel_is_checked_and_run(jobs):
    steps = jobs["wheel"]["steps"]
    conditions = {step["run"].split()[-1]: step.get("if") for step in steps if "run" in step}
    assert conditions["check-wheel"] is None
    assert conditions["try-wheel"] == "${{ !matrix.image }}"
    assert conditions["dist/*.whl'"] == "${{ matrix.image }}"
    matrix = jobs["wheel"]["strategy"]["matrix"]
    images = [(it["python"], it["target"]) for it in matrix["include"] if "image" in it]
    musl = [target for target in matrix["target"] if target.endswith("-musl")]
    assert sorted(images) == sorted((python, it) for python in matrix["python"] for it in musl)
