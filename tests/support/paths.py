"""Paths in this repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
EXAMPLES = ROOT / "examples"
SCRIPTS = TESTS / "js"
"""Node.js programs: clients of npm, browsers, graphql-js."""
