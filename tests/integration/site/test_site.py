"""The documentation site builds without a warning, and a browser reads it without other hosts."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.node import NodeProcess
from support.paths import ROOT

import fraiseql_subs
from docs_build.check import broken, foreign
from docs_build.navigation import expanded, short_title
from docs_build.pages import MERMAID


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def build(folder: Path) -> None:
    """Build the site into a folder, strictly."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


async def test_the_site_builds_and_a_browser_reads_it_without_other_hosts(tmp_path):
    assert MERMAID.exists(), "run `make test`, which installs it"
    build(tmp_path)
    assert foreign(tmp_path) == []
    assert broken(tmp_path) == []

    with served(tmp_path) as url:
        async with NodeProcess.run("site.mjs", url) as browser:
            seen = await browser.read()
    assert (seen["foreign"], seen["missing"], seen["errors"]) == ([], [], [])
    assert (seen["dark"], seen["light"]) == ("slate", "default")
    sections = ["Home", "Start", "Guides", "Reference", "Explanation", "Decisions", "Changes"]
    assert seen["sections"] == sections
    assert seen["files"][0] == "shop.py"
    assert "<!--" not in seen["text"]
    assert "Serve with the embedded server" in " ".join(seen["found"]).replace("How to s", "S")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ["a.html: https://cdn.example/a.js"]),
        ('<link rel="stylesheet" href="//cdn.example/a.css">', ["a.html: //cdn.example/a.css"]),
        ('<link rel="canonical" href="https://docs.example/">', []),
        ('<img src="a.png"><a href="https://example.com">', []),
        ('<p style="background: url(https://cdn.example/a)">', ["a.html: https://cdn.example/a"]),
    ],
    ids=["script", "style sheet", "canonical address", "own image", "style"],
)
def test_what_comes_from_another_host_is_found(text, faults, tmp_path):
    (tmp_path / "a.html").write_text(text)
    assert foreign(tmp_path) == faults


def test_what_a_style_sheet_fetches_from_another_host_is_found(tmp_path):
    (tmp_path / "a.css").write_text(
        "@import 'https://fonts.example/a'; p { background: url(b.png) }"
    )
    assert foreign(tmp_path) == ["a.css: https://fonts.example/a"]


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/index.html").write_text('<h1 id="here">')
    links = ["b/#here", "b/", "b/index.html#gone", "c.html", "#gone", "mailto:a@b.example"]
    (tmp_path / "a.html").write_text("".join(f'<a href="{link}">' for link in links))
    assert broken(tmp_path) == [
        f"a.html: {link}" for link in ("b/index.html#gone", "c.html", "#gone")
    ]


def test_a_pattern_of_the_navigation_stands_for_pages_that_no_other_item_names():
    pages = {f"how-to/{name}.md": f"# How to {name}" for name in ("drain", "serve", "tls/files")}
    nav = [{"Guides": ["how-to/serve.md", "how-to/*"]}, {"Later": ["later/*"]}]
    assert expanded(nav, pages, {"how-to/serve.md"}) == [
        {"Guides": [{"Serve": "how-to/serve.md"}, {"Drain": "how-to/drain.md"}]}
    ]


def test_titles_in_the_navigation_are_short():
    assert short_title("# How to serve `asgi`\n\nText\n") == "Serve asgi"


def test_every_public_name_has_its_reference():
    page = (ROOT / "docs/reference/api.md").read_text()
    named = set(re.findall(r"<!-- api: fraiseql_subs\.(\w+)", page))
    in_errors = {
        name
        for name in fraiseql_subs.__all__
        if isinstance(getattr(fraiseql_subs, name), type)
        and issubclass(getattr(fraiseql_subs, name), Exception)
    }
    assert named - {"adapters", "errors", "testing"} == set(fraiseql_subs.__all__) - in_errors
