"""Writes THIRD-PARTY-LICENSES.txt: the licences of all that a wheel contains of others.

These are the crates that are linked into the compiled module, on any platform, and the npm packages
of the page for browsers. Fails if one of them has no licence text. `make licenses` runs it;
`--check` only compares the list of packages.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "THIRD-PARTY-LICENSES.txt"
PAGE = ROOT / "graphiql"

PLATFORMS = [
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
]
"""Those of the wheels. The crates do not depend on the processor."""

TEXTS = re.compile(r"(licen[sc]e|copying|notice|unlicense)([-._].*)?", re.IGNORECASE)

STANDARD_LIBRARY = (
    "the standard library of Rust, and addr2line, adler2, gimli, hashbrown, miniz_oxide, object and"
    " rustc-demangle inside it (MIT OR Apache-2.0)"
)

# What crates contain of yet others.
VENDORED = ["aws-lc", "aws-lc/third_party/fiat", "jemalloc"]

# npm packages under the MIT licence without its text, whose package.json names no author.
HOLDERS = {
    "@headlessui/react": "Tailwind Labs, Inc.",
    "client-only": "Meta Platforms, Inc. and affiliates",
    "react-compiler-runtime": "Meta Platforms, Inc. and affiliates",
}

# Makes the page and is not in it.
BUILDS_THE_PAGE = re.compile(r"node_modules/(esbuild|@esbuild/.*)")

HEAD = """\
fraiseql-subs is published under the MIT licence or the Apache licence 2.0, as you prefer.
Its wheels contain the following works of others. Below each list is the licence of what it names.
Where one of several licences may be chosen, it is the MIT licence if that is among them.
"""
LINE = "=" * 80


@dataclass(frozen=True, order=True)
class Package:
    """A crate or an npm package."""

    name: str
    version: str
    licence: str
    folder: Path
    author: str = ""

    def __str__(self) -> str:
        """Return its line in the file."""
        return f"{self.name} {self.version} ({self.licence})"


def crates(platform: str) -> Iterator[Package]:
    """Find the crates of others that are linked into the module on a platform."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    command += ["--filter-platform", platform]
    printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    metadata: dict[str, Any] = json.loads(printed)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    left = [package["id"] for package in packages.values() if package["name"] == "python"]
    found = set(left)
    while left:
        for used in nodes[left.pop()]["deps"]:
            is_linked = any(kind["kind"] is None for kind in used["dep_kinds"])
            targets = packages[used["pkg"]]["targets"]
            is_macro = any("proc-macro" in target["kind"] for target in targets)
            if is_linked and not is_macro and used["pkg"] not in found:
                found.add(used["pkg"])
                left.append(used["pkg"])
    for package in (packages[identity] for identity in found):
        if package["source"] is not None:
            folder = Path(package["manifest_path"]).parent
            yield Package(package["name"], package["version"], str(package["license"]), folder)


def npm_packages() -> Iterator[Package]:
    """Find the npm packages of which the page is made."""
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    for path, package in locked.items():
        if path and not package.get("dev") and not BUILDS_THE_PAGE.fullmatch(path):
            name = path.rpartition("node_modules/")[2]
            described = PAGE / path / "package.json"
            author = json.loads(described.read_text()).get("author") if described.exists() else ""
            author = author["name"] if isinstance(author, dict) else author or ""
            yield Package(
                name, package["version"], str(package.get("license")), PAGE / path, author
            )


def texts(package: Package) -> list[str]:
    """Return the licences, and notices, of a package."""
    folders = [package.folder, *(package.folder / path for path in VENDORED)]
    files = [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if TEXTS.fullmatch(path.name) and path.is_file()
    ]
    chosen = r"\bOR\b|/" if any("MIT" in path.name.upper() for path in files) else "$^"
    if re.search(chosen, package.licence):
        files = [path for path in files if "APACHE" not in path.name.upper()]
    if files:
        return [path.read_text(errors="replace").replace("\r\n", "\n").strip() for path in files]
    if re.search(r"\bApache-2\.0\b(?! WITH)", package.licence):
        return [(ROOT / "LICENSE-APACHE").read_text().strip()]
    holder = HOLDERS.get(package.name) or package.author
    if package.licence == "MIT" and holder:
        mit = (ROOT / "LICENSE-MIT").read_text().strip()
        return [re.sub(r"(Copyright \(c\)).*", lambda found: f"{found[1]} {holder}", mit)]
    sys.exit(f"{package} has no licence text in {package.folder}: see HOLDERS in {__file__}")


def key(text: str) -> str:
    """Return what is equal of texts that differ in their layout alone."""
    return re.sub(r"\W+", " ", text).lower()


def written(packages: list[Package]) -> str:
    """Return the file: each text once, below the packages that have it."""
    owners: dict[str, set[str]] = defaultdict(set)
    shown: dict[str, str] = {}
    for package in packages:
        for text in texts(package):
            owners[key(text)].add(str(package))
            shown.setdefault(key(text), text)
    library = (ROOT / "LICENSE-APACHE").read_text().strip()
    owners[key(library)].add(STANDARD_LIBRARY)
    shown.setdefault(key(library), library)
    parts = [
        "\n".join([LINE, *sorted(owners[one]), LINE, "", shown[one], ""])
        for one in sorted(owners, key=lambda one: (-len(owners[one]), sorted(owners[one])))
    ]
    lines = "\n".join(sorted({line.rstrip() for line in map(str, packages)}))
    body = "\n".join("\n".join(line.rstrip() for line in part.split("\n")) for part in parts)
    return f"{HEAD}\n{lines}\n\n{body}"


def listed(text: str) -> set[str]:
    """Return the packages that the file names, from the list in its beginning."""
    return set(text.partition(LINE)[0].removeprefix(HEAD).strip().split("\n"))


def main() -> None:
    """Write the file, or compare the packages that it names."""
    packages = sorted({*npm_packages(), *(one for name in PLATFORMS for one in crates(name))})
    if "--check" in sys.argv[1:]:
        differing = listed(RESULT.read_text()) ^ {str(package) for package in packages}
        if differing:
            names = "\n  ".join(sorted(differing))
            sys.exit(f"Run `make licenses`: {RESULT.name} differs in\n  {names}")
    else:
        RESULT.write_text(written(packages))


if __name__ == "__main__":
    main()
