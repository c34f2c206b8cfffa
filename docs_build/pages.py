"""Pages of the site that no file in `docs` is: home, changes, the index of decisions, assets.

Home is README.md and changes is CHANGELOG.md, so each text stands once.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
COPIES = {"index.md": "README.md", "changes.md": "CHANGELOG.md"}
"""Pages of the site, and the files in the root of the repository that they show."""
MERMAID = ROOT / "docs_build/node_modules/mermaid/dist/mermaid.min.js"
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
STATUS = re.compile(r"^\*\*Status:\*\* (.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Draw diagrams with a file of the site: the theme would fetch it from another host."""
    config.extra_javascript = ["assets/mermaid.min.js"]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for page, source in COPIES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    decisions = [
        file for file in files.documentation_pages() if file.src_uri.startswith("decisions/")
    ]
    files.append(File.generated(config, "decisions/index.md", content=index(decisions)))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    style = ROOT / "docs_build/site.css"
    files.append(File.generated(config, "assets/site.css", abs_src_path=str(style)))
    return files


def index(decisions: list[File]) -> str:
    """Return the page that lists the decisions with their titles and statuses."""
    lines = [
        "# Decisions",
        "",
        "Why things are as they are: one page for each decision, in the order in which they were made.",
        "",
        "| decision | status |",
        "| --- | --- |",
    ]
    for file in sorted(decisions, key=lambda file: file.src_uri):
        text = file.content_string
        title, status = TITLE.search(text), STATUS.search(text)
        if title is None or status is None:
            raise ValueError(f"{file.src_uri} has no title or no status")
        stands = " ".join(status[1].split())
        lines.append(f"| [{title[1]}]({Path(file.src_uri).name}) | {stands} |")
    return "\n".join(lines) + "\n"
