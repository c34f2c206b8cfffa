"""What all pages of the documents have in common: marks for tests that no reader sees."""

from __future__ import annotations

import re

import pytest
from support.documents import PAGES, blocks
from support.paths import ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_readers_see_no_marks_of_tests(page):
    blocks(page)


@pytest.mark.parametrize(
    "text",
    [
        "```python\n# run: a.py\nprint()\n```\n",
        "```js\n// client: a.mjs\n```\n",
        "```sql\n-- file: a.sql\n```\n",
        "```html\n<!-- client: a.html -->\n```\n",
        "<!-- run: a.py -->\n\n```python\nprint()\n```\n",
        "<!-- run: a.py -->\n",
    ],
    ids=["Python", "JavaScript", "SQL", "HTML", "apart from its block", "without a block"],
)
def test_a_mark_that_is_not_directly_before_a_block_is_refused(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="directly before the block"):
        blocks(page)


def test_a_block_is_read_with_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n<!-- file: a.py -->\n<!-- serve: python a.py -->\n```python\n1\n```\n"
    )
    (block,) = blocks(page)
    assert (block.name, block.marked("serve")) == ("a.py", ["python a.py"])
    assert (block.language, block.code, block.line) == ("python", "1\n", 5)


def test_no_client_program_stands_twice():
    """A page links to a client that another page has, or shows one command."""
    programs: dict[str, list[str]] = {}
    for page in PAGES:
        for block in blocks(page):
            if block.marked("client") and block.code.count("\n") > 4:
                program = re.sub(r"\"\w+://[^\"]*\"", "url", block.code)
                programs.setdefault(program, []).append(str(block))
    assert [places for places in programs.values() if len(places) > 1] == []
