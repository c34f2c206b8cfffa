"""The build backend: maturin, with what it does not do for wheels and source distributions.

A wheel without GraphiQL is refused, and no path of the machine that builds gets into it. Both hold
for `pip wheel .`, `pip install .` and `make wheel`. An editable install is maturin's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maturin  # type: ignore[import-untyped]
from maturin import build_editable as build_editable
from maturin import get_requires_for_build_editable as get_requires_for_build_editable
from maturin import get_requires_for_build_sdist as get_requires_for_build_sdist
from maturin import get_requires_for_build_wheel as get_requires_for_build_wheel
from maturin import prepare_metadata_for_build_editable as prepare_metadata_for_build_editable
from maturin import prepare_metadata_for_build_wheel as prepare_metadata_for_build_wheel

ROOT = Path(__file__).resolve().parent.parent
PAGE = "fraiseql_subs/graphiql/index.html"

Settings = Mapping[str, Any] | None


def build_wheel(directory: str, settings: Settings = None, metadata: str | None = None) -> str:
    """Build a wheel."""
    require_page()
    hide_paths()
    return str(maturin.build_wheel(directory, settings, metadata))


def build_sdist(directory: str, settings: Settings = None) -> str:
    """Build a source distribution, which holds the page."""
    require_page()
    return str(maturin.build_sdist(directory, settings))


def require_page() -> None:
    """End the build if GraphiQL was not built."""
    if not (ROOT / PAGE).is_file():
        sys.exit(
            f"{PAGE} is missing: GraphiQL, the page for browsers, is not in version control. "
            "Run `make graphiql` first, which needs Node.js."
        )


def hide_paths() -> None:
    """Let rustc write short paths into what it compiles.

    Panics name the files of crates. C libraries name theirs from the root of their crate.
    """
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    flags = [f"--remap-path-prefix={home}=/cargo", f"--remap-path-prefix={ROOT}=/src"]
    # Flags with spaces in them are possible only in this variable, which replaces the other one.
    before = os.environ.get("CARGO_ENCODED_RUSTFLAGS", "").split("\x1f")
    if before == [""]:
        before = os.environ.get("RUSTFLAGS", "").split()
    os.environ["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join([*before, *flags])
