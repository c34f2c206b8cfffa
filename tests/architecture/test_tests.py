"""Checks that each folder of tests uses only `tests/support` and its own files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.paths import ROOT, TESTS

ROOMS = sorted({path.parent for path in TESTS.rglob("test_*.py")})


def files(room: Path) -> list[Path]:
    """Return the Python files of a folder, and of its packages, such as a table of cases."""
    packages = [path.parent for path in room.glob("*/__init__.py")]
    return sorted(path for folder in [room, *packages] for path in folder.glob("*.py"))


def modules(room: Path) -> set[str]:
    """Return the names by which a folder imports its files."""
    packages = {path.parent.name for path in room.glob("*/__init__.py")}
    return {path.stem for path in room.glob("*.py")} - {"conftest"} | packages


def imports(path: Path) -> set[str]:
    """Return the first part of the name of each module that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def imports_of_other_rooms(room: Path, rooms: list[Path]) -> list[str]:
    """Return the imports in a folder of modules that only another folder has."""
    others = set().union(*(modules(other) for other in rooms if other != room))
    return [
        f"{path.name}: {name}"
        for path in files(room)
        for name in sorted(imports(path) & (others - modules(room)))
    ]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(TESTS)))
def test_a_room_imports_from_no_other_room(room):
    assert imports_of_other_rooms(room, ROOMS) == []


def test_support_imports_from_no_room():
    assert imports_of_other_rooms(TESTS / "support", [TESTS / "support", *ROOMS]) == []


@pytest.mark.parametrize("folder", [TESTS, TESTS / "integration"], ids=lambda folder: folder.name)
def test_a_test_lies_in_a_room(folder):
    """`tests` and `tests/integration` contain folders and shared files, but no tests."""
    assert {path.name for path in folder.glob("*.py")} == {"conftest.py"}


def test_test_files_have_different_names():
    """pytest imports each file by its name only, and a folder imports its helpers in the same
    way.
    """
    names = [name for room in ROOMS for name in modules(room)]
    assert {name for name in names if names.count(name) > 1} == set()


def test_every_folder_of_tests_is_in_contributing():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = [str(room.relative_to(ROOT)) for room in ROOMS]
    assert [path for path in paths if f"| `{path}` |" not in text] == []


def test_tests_that_documents_name_are_there():
    names = {path.name for path in TESTS.rglob("test_*.py")}
    pages = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "explanation").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"test_\w+\.py", page.read_text())}
    assert named
    assert named - names == set()


def test_the_table_of_faults_names_every_file_of_its_folder():
    folder = TESTS / "faults"
    text = (folder / "README.md").read_text()
    files = {path.name: path.read_text() for path in folder.glob("test_*.py")}
    assert set(re.findall(r"test_\w+\.py", text)) == set(files)
    functions = set(re.findall(r"def (test_\w+)", "".join(files.values())))
    assert set(re.findall(r"::(test_\w+)", text)) - functions == set()


def test_an_import_of_another_room_is_found(tmp_path):
    rooms = [tmp_path / "events", tmp_path / "limits"]
    for room in rooms:
        room.mkdir()
    (rooms[0] / "filters.py").write_text("")
    (rooms[0] / "test_filters.py").write_text("from filters import equal\n")
    (rooms[1] / "test_rates.py").write_text("def test():\n    import filters, support\n")
    assert imports_of_other_rooms(rooms[0], rooms) == []
    assert imports_of_other_rooms(rooms[1], rooms) == ["test_rates.py: filters"]
