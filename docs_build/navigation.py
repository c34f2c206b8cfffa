"""The navigation: patterns of `nav` in mkdocs.yml become pages, each with a short title."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files

from docs_build import TITLE


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Set the navigation."""
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()}
    nav: list[Any] = config.nav or []
    config.nav = expanded(nav, pages, set(leaves(nav)))
    return files


def leaves(items: Any) -> list[str]:
    """Return the pages and patterns of a navigation."""
    if isinstance(items, str):
        return [items]
    values = items.values() if isinstance(items, dict) else items
    return [leaf for item in values for leaf in leaves(item)]


def expanded(items: list[Any], pages: dict[str, str], named: set[str]) -> list[Any]:
    """Return a navigation with pages in place of patterns, and without empty sections."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, str):
            found += [{short_title(pages[page]): page} for page in matches(item, pages, named)]
            continue
        ((title, value),) = item.items()
        if isinstance(value, list):
            value = expanded(value, pages, named)
        if value:
            found.append({title: value})
    return found


def matches(item: str, pages: dict[str, str], named: set[str]) -> list[str]:
    """Return the pages that an item stands for: itself, or those that a pattern finds.

    A pattern finds pages of its own folder that no item names and no pattern before it has found.
    """
    if not item.endswith("*"):
        return [item]
    found = [
        page
        for page in sorted(pages)
        if fnmatch(page, item) and page.count("/") == item.count("/") and page not in named
    ]
    named.update(found)
    return found


def short_title(text: str) -> str:
    """Return the title of a page without "How to"."""
    match = TITLE.search(text)
    if match is None:
        raise ValueError(f"A page has no title: {text[:40]!r}")
    title = match[1].removeprefix("How to ").replace("`", "")
    return title[0].upper() + title[1:]
