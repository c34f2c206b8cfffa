"""Checks that no two types of a crate, and no two classes of the package, have the same name."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from support.paths import ROOT

RUST = ROOT / "rust"

CRATES = sorted(path.name for path in RUST.iterdir() if (path / "src").is_dir())

VISIBILITY = r"(?:pub(?:\([\w: ]+\))? )?"

# Also those of modules within the file, of macros and of functions; but an indented `type` belongs
# to a trait.
DECLARED = re.compile(
    rf"^(?:\s*{VISIBILITY}(?:unsafe )?(?:struct|enum|union|trait)|{VISIBILITY}type) (\w+)",
    re.MULTILINE,
)


def declared(text: str) -> list[str]:
    """Return the names of the types that a file declares, but for its tests, which end it."""
    text = re.sub(rf"#\[cfg\(test\)\]\s*{VISIBILITY}mod \w+ \{{.*", "", text, flags=re.DOTALL)
    return DECLARED.findall(text)


ALTERNATIVE = re.compile(r'#\[cfg_attr\(.+?, path = "([\w/]+\.rs)"\)\]')


def alternatives(source: Path) -> set[Path]:
    """Return the files that other systems have in place of a module, with the same names."""
    return {
        (path.parent / name).resolve()
        for path in source.rglob("*.rs")
        for name in ALTERNATIVE.findall(path.read_text())
    }


@pytest.mark.parametrize("crate", CRATES)
def test_no_two_types_of_a_crate_have_one_name(crate):
    places: dict[tuple[str, str], list[Path]] = defaultdict(list)
    source = RUST / crate / "src"
    for path in sorted({*source.rglob("*.rs")} - alternatives(source)):
        if "tests" in path.parts or path.name == "tests.rs":
            continue
        # What engines have in common has the same name in each.
        engine = path.relative_to(source).parts[0] if crate == "brokers" else ""
        for name in declared(path.read_text()):
            places[engine, name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_two_classes_of_the_package_have_one_name():
    """The compiled module's are among them, as `_core.pyi` declares them."""
    places: dict[str, set[Path]] = defaultdict(set)
    package = ROOT / "fraiseql_subs"
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        for name in re.findall(r"^ *class (\w+)", path.read_text(), re.MULTILINE):
            places[name].add(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_types_are_found_but_for_those_of_tests():
    text = "pub(crate) struct A;\nenum B<'a> {}\n    type C = u8;\npub(in crate::a) type D = u8;\n"
    text += "mod inner {\n    pub(super) trait E {}\n}\nstructure G;\n"
    text += "#[cfg(test)]\npub(super) mod tests {\nstruct F;"
    assert declared(text) == ["A", "B", "D", "E"]
