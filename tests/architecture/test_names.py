"""Checks that no two types of a crate have the same name."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from support.paths import ROOT

RUST = ROOT / "rust"

CRATES = sorted(path.name for path in RUST.iterdir() if (path / "src").is_dir())

DECLARED = re.compile(r"^(?:pub(?:\([a-z]+\))? )?(?:struct|enum|trait|type) (\w+)", re.MULTILINE)


def declared(text: str) -> list[str]:
    """Return the names of the types that a file declares, without its tests."""
    text = re.sub(r"#\[cfg\(test\)\]\s*(?:pub\(crate\) )?mod \w+ \{.*", "", text, flags=re.DOTALL)
    return DECLARED.findall(text)


@pytest.mark.parametrize("crate", CRATES)
def test_no_two_types_of_a_crate_have_one_name(crate):
    places: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((RUST / crate / "src").rglob("*.rs")):
        if "tests" in path.parts or path.name == "tests.rs":
            continue
        for name in declared(path.read_text()):
            places[name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_types_are_found_but_for_those_of_tests():
    text = "pub(crate) struct A;\nenum B<'a> {}\n    type C = u8;\n"
    text += "#[cfg(test)]\nmod tests {\nstruct D;"
    assert declared(text) == ["A", "B"]
