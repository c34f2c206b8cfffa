"""Links that are right on GitHub, rewritten for the site.

In README.md and CHANGELOG.md links start at the root of the repository. Elsewhere a link may lead
out of `docs`: to one of these two, or to a file that is no page, which GitHub shows.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from docs_build import COPIES, ROOT

LINK = re.compile(r"(?P<before>\]\(|(?:src|srcset|href)=\")(?![a-z]+:|#|/)(?P<path>[^)#\s\"]+)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page outside of its code."""
    uri = page.file.src_uri
    home = COPIES.get(uri)
    source = ROOT / home if home else ROOT / "docs" / uri
    if page.file.generated_by and home is None:
        return markdown

    def rewritten(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / match["path"]))
        if not target.exists():
            return match[0]  # mkdocs says that it leads nowhere.
        return match["before"] + place(target, uri, str(config.extra["repository"]))

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(rewritten, part) for part in parts)


def place(target: Path, uri: str, repository: str) -> str:
    """Return the link from the page `uri` to a file of the repository."""
    path = target.relative_to(ROOT).as_posix()
    pages = {source: page for page, source in COPIES.items()}
    if path in pages:
        path = f"docs/{pages[path]}"
    elif path == "docs/decisions":
        path = "docs/decisions/index.md"
    if path.startswith("docs/"):
        return os.path.relpath(path.removeprefix("docs/"), os.path.dirname(uri) or ".")
    kind: Any = "tree" if target.is_dir() else "blob"
    return f"{repository}/{kind}/main/{path}"
