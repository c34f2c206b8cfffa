"""Checks a built site: nothing comes from another host, and each link leads somewhere.

    python -m docs_build.check target/site

Links between pages of rustdoc are not checked, as rustdoc does that.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches without a click: of `link` not the relations between pages.
FETCHED = {"src", "srcset", "poster", "data"}
RELATIONS = {
    "stylesheet",
    "preload",
    "modulepreload",
    "icon",
    "manifest",
    "preconnect",
    "prefetch",
    "dns-prefetch",
}
IN_STYLE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """What a page fetches, what it links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read one element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.fetched += [value for name, value in values.items() if name in FETCHED]
        self.fetched += IN_STYLE.findall(values.get("style", ""))
        if tag == "link" and RELATIONS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])


def is_elsewhere(url: str) -> bool:
    """Whether a URL names a host."""
    return url.startswith("//") or bool(urlsplit(url).netloc)


def foreign(site: Path) -> list[str]:
    """Return what browsers would fetch from other hosts."""
    found = []
    for path in sorted(site.rglob("*.html")):
        urls = Page(path.read_text()).fetched
        found += [f"{path.relative_to(site)}: {url}" for url in urls if is_elsewhere(url)]
    for path in sorted(site.rglob("*.css")):
        urls = IN_STYLE.findall(path.read_text())
        found += [f"{path.relative_to(site)}: {url}" for url in urls]
    return found


def broken(site: Path) -> list[str]:
    """Return the links between pages that lead nowhere."""
    pages = {
        path: Page(path.read_text())
        for path in sorted(site.rglob("*.html"))
        if site / "rust" not in path.parents
    }
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            # 404.html is shown at any path, so its links begin at the root.
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            has_anchor = not anchor or target not in pages or anchor in pages[target].anchors
            if not target.exists() or not has_anchor:
                found.append(f"{path.relative_to(site)}: {link}")
    return found


def main() -> None:
    """Check the site that the command line names."""
    site = Path(sys.argv[1]).resolve()
    faults = [f"comes from another host: {fault}" for fault in foreign(site)]
    faults += [f"leads nowhere: {fault}" for fault in broken(site)]
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main()
