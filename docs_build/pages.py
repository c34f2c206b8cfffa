"""Pages of the site that no file in `docs` is: home, changes, the index of decisions, assets.

Home is README.md and changes is CHANGELOG.md, so each text stands once.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs_build import COPIES, ROOT, TITLE

MERMAID = ROOT / "docs_build/node_modules/mermaid/dist/mermaid.min.js"
HEADER = re.compile(r"^//! (.+?)\n(?:\n|//!\n)", re.DOTALL)
NAME = re.compile(r'^\[lib\]\nname = "(\w+)"', re.MULTILINE)
NUMBER = re.compile(r"(?<!\[)\b(\d{4})\b(?!\])(?=[.,;: ]|$)")
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
    files.append(File.generated(config, "reference/rust.md", content=crates()))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(MERMAID)))
    style = ROOT / "docs_build/site.css"
    files.append(File.generated(config, "assets/site.css", abs_src_path=str(style)))
    return files


def crates() -> str:
    """Return the page that lists the Rust crates.

    It links to the pages of rustdoc if they are built, as the variable WITH_CRATES says.
    """
    lines = [
        "# Rust crates",
        "",
        "The parts of the package, for people who work on it. Python programs need none of them.",
        "[Architecture](../explanation/architecture.md) has a picture of the crates.",
        "",
        "| crate | what it is |",
        "| --- | --- |",
    ]
    for root in sorted(ROOT.glob("rust/*/src/lib.rs")):
        folder = root.parents[1]
        header = HEADER.match(root.read_text())
        if header is None:
            raise ValueError(f"{root} begins without a header")
        name = NAME.search((folder / "Cargo.toml").read_text())
        place = f"../rust/{name[1] if name else folder.name}/index.html"
        text = " ".join(header[1].replace("\n//!", " ").split())
        text = text.replace("[`", "`").replace("`]", "`")
        # In HTML, as there is no page of this site behind it.
        title = (
            f'<a href="{place}">{folder.name}</a>' if os.environ.get("WITH_CRATES") else folder.name
        )
        lines.append(f"| {title} | {text} |")
    return "\n".join(lines) + "\n"


def index(decisions: list[File]) -> str:
    """Return the page that lists the decisions with their titles and statuses."""
    lines = [
        "# Decisions",
        "",
        "Why things are as they are: one page for each decision, in their order in time.",
        "",
        "| decision | status |",
        "| --- | --- |",
    ]
    names = {Path(file.src_uri).name[:4]: Path(file.src_uri).name for file in decisions}

    def linked(match: re.Match[str]) -> str:
        return f"[{match[1]}]({names[match[1]]})" if match[1] in names else match[1]

    for file in sorted(decisions, key=lambda file: file.src_uri):
        text = file.content_string
        title, status = TITLE.search(text), STATUS.search(text)
        if title is None or status is None:
            raise ValueError(f"{file.src_uri} has no title or no status")
        stands = NUMBER.sub(linked, " ".join(status[1].split()))
        lines.append(f"| [{title[1]}]({Path(file.src_uri).name}) | {stands} |")
    return "\n".join(lines) + "\n"
