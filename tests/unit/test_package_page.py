"""The page of the package on an index: its program is the README's, its links lead somewhere."""

from __future__ import annotations

import re

import pytest
from support.paths import ROOT

PAGE = (ROOT / "PACKAGE.md").read_text()
REPOSITORY = re.compile(r"https://github\.com/fraiseql/fraiseql-subs/(?:blob|tree)/main/(\S+)")
PROGRAM = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)


def test_its_program_is_the_one_of_the_readme():
    # Which test_docs.py runs.
    assert PROGRAM.findall(PAGE) == PROGRAM.findall((ROOT / "README.md").read_text())[:1]


@pytest.mark.parametrize("target", re.findall(r"\]\((.*?)\)", PAGE))
def test_its_links_are_of_the_whole_address_and_what_they_name_is_there(target):
    path = REPOSITORY.fullmatch(target)
    assert path, "an index has no other files of the repository"
    assert (ROOT / path[1]).exists()


def test_it_has_nothing_that_an_index_does_not_show():
    assert "mermaid" not in PAGE
