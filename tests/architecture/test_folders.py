"""Checks that folders inside a crate depend in one direction, without large dependency cycles."""

from __future__ import annotations

from pathlib import Path

import pytest
from modules import circles, folders, read_graph
from support.paths import ROOT

RUST = ROOT / "rust"

CRATES = sorted(path.name for path in RUST.iterdir() if (path / "src").is_dir())

LARGEST_CIRCLE = 3
"""Files of one folder that may use each other (count)."""

RUNTIME = [
    "manager",
    "transport",
    "worker",
    "connection",
    "operation",
    "state",
    "subscription",
    "admission",
    "client",
    "catalog",
    "routing",
    "metrics",
]
"""Folders of the runtime (and the state), each of which uses only those below it."""


def is_folder(path: Path) -> bool:
    """Whether a module has others below it, and not the file of its tests alone."""
    return any(file.name != "tests.rs" for file in path.rglob("*.rs"))


@pytest.mark.parametrize("crate", CRATES)
def test_folders_of_a_crate_depend_in_one_direction(crate):
    source = RUST / crate / "src"
    found = circles(folders(read_graph(source)))
    # Files next to the folders may use each other, like the files of one folder.
    assert [circle for circle in found if any(is_folder(source / room) for room in circle)] == []


@pytest.mark.parametrize("crate", CRATES)
def test_few_files_of_a_folder_use_each_other(crate):
    found = circles(read_graph(RUST / crate / "src"))
    assert [circle for circle in found if len(circle) > LARGEST_CIRCLE] == []


def test_the_folders_of_the_runtime_keep_their_order():
    used = folders(read_graph(RUST / "runtime" / "src"))
    for place, folder in enumerate(RUNTIME):
        assert used[folder] & set(RUNTIME[:place]) == set(), folder


def test_every_folder_of_the_runtime_has_its_place():
    found = {path.name for path in (RUST / "runtime" / "src").iterdir() if path.is_dir()}
    assert found | {"state"} == set(RUNTIME)


def test_uses_are_read_from_groups_and_relative_paths(tmp_path):
    files = {
        "lib.rs": "mod a;\nmod b;\npub use a::Shown;",
        "a/mod.rs": "mod c;\nuse crate::{b::{One, Two}, Other};\npub use c::Shown;",
        "a/c.rs": "use super::d::Three;\n// use crate::b::Four;\nfn f() { crate::b::five() }",
        "a/d.rs": "use super::super::b;\nuse std::fmt;\n#[cfg(test)]\nmod tests { use crate::a; }",
        "b.rs": "use serde::b;",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    expected = {"a": {"b"}, "a::c": {"a::d", "b"}, "a::d": {"b"}, "b": set()}
    assert read_graph(tmp_path) == expected


def test_dependency_cycles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": set()}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]
