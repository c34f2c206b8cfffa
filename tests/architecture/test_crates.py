"""Checks the architecture: crates depend in one direction, each on its allowed libraries."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path

import pytest
from support.paths import ROOT

import fraiseql_subs
from fraiseql_subs import FraiseQLSubsError, Metrics, SubscriptionManager, errors, passthrough

LAYERS = {
    "indexed_json": set(),
    "graphql": {"indexed_json"},
    "protocol": {"indexed_json"},
    "bus": {"indexed_json"},
    "brokers": {"bus"},
    "security": {"bus", "graphql", "indexed_json", "protocol"},
    "runtime": {"bus", "graphql", "indexed_json", "protocol", "security"},
    "server": {"bus", "graphql", "protocol", "runtime", "security"},
    "load": set(),
    "regex": set(),
    "python": {
        "brokers",
        "bus",
        "graphql",
        "indexed_json",
        "load",
        "protocol",
        "runtime",
        "security",
        "server",
    },
}

PURE = ("graphql", "indexed_json", "protocol", "security")
RUST = sorted((ROOT / "rust").glob("*/src/**/*.rs"))
PYTHON = sorted((ROOT / "fraiseql_subs").rglob("*.py"))


@pytest.fixture(scope="module")
def dependencies() -> dict[str, set[str]]:
    """Names of the normal dependencies of each crate of the workspace."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]
    metadata = json.loads(subprocess.check_output(command, cwd=ROOT))
    return {
        package["name"]: {d["name"] for d in package["dependencies"] if d["kind"] is None}
        for package in metadata["packages"]
    }


def test_every_crate_has_its_layer(dependencies):
    assert set(dependencies) == set(LAYERS)


@pytest.mark.parametrize("crate", LAYERS)
def test_a_crate_depends_on_lower_layers_only(crate, dependencies):
    assert dependencies[crate] & set(LAYERS) <= LAYERS[crate]


@pytest.mark.parametrize("crate", PURE)
def test_pure_crates_do_no_input_or_output(crate, dependencies):
    heavy = {name for name in dependencies[crate] if re.match(r"actix|tokio|pyo3", name)}
    assert heavy == set()


@pytest.mark.parametrize("crate", PURE)
def test_pure_crates_read_no_clock(crate):
    for path in (ROOT / "rust" / crate / "src").rglob("*.rs"):
        assert not re.search(r"Instant::now|SystemTime", path.read_text()), path


@pytest.mark.parametrize("crate", set(LAYERS) - {"python"})
def test_only_the_bindings_know_python(crate, dependencies):
    assert not any(name.startswith("pyo3") for name in dependencies[crate])


@pytest.mark.parametrize("crate", set(LAYERS) - {"runtime", "server"})
def test_only_runtime_and_server_know_actix(crate, dependencies):
    assert not any(name.startswith("actix") for name in dependencies[crate])


@pytest.mark.parametrize("forbidden", ["block_on(", "unsafe {", "todo!(", "unimplemented!("])
def test_rust_contains_no_forbidden_code(forbidden):
    files = [path for path in RUST if forbidden in path.read_text()]
    assert [path for path in files if not is_allowed(forbidden, path)] == []


def is_allowed(forbidden: str, path: Path) -> bool:
    """Return whether a file may block on a future: no coroutine of Python is awaited there."""
    is_alone = path.name in {"install.rs", "link_thread.rs"} or "tests" in path.parts
    return forbidden == "block_on(" and is_alone


def test_no_file_is_too_long():
    long = [path for path in [*RUST, *PYTHON] if len(path.read_text().splitlines()) > 600]
    assert long == []


def test_every_file_has_a_header():
    assert [path for path in RUST if not path.read_text().startswith("//!")] == []
    assert [path for path in PYTHON if not path.read_text().startswith('"""')] == []


async def test_the_counters_of_package_and_core_are_the_same():
    async with SubscriptionManager([passthrough("a", int, channel="a")]) as manager:
        names = set(manager._core.metrics())
    assert names == {field.name for field in dataclasses.fields(Metrics)}


def test_every_error_is_exported():
    declared = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, FraiseQLSubsError)
    }
    assert declared <= set(fraiseql_subs.__all__)


def test_all_that_is_exported_exists_and_is_documented():
    for name in fraiseql_subs.__all__:
        value = getattr(fraiseql_subs, name)
        assert not isinstance(value, type) or value.__doc__, name
