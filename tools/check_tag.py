"""Checks that a tag names the version of the package. Argument: the tag, such as `v1.2.0`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """End with status 1 if it does not."""
    found = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found, "Cargo.toml has no version"
    expected = f"v{found[1]}"
    if sys.argv[1:] != [expected]:
        sys.exit(f"the tag of this version is {expected}, and not {' '.join(sys.argv[1:])}")


if __name__ == "__main__":
    main()
