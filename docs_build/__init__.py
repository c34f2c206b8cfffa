"""Makes the documentation site from `docs`: hooks of mkdocs, and a check of the result.

Here is what several hooks need. They find it where mkdocs is run as `python -m mkdocs`, from the
root of the repository.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIES = {"index.md": "README.md", "changes.md": "CHANGELOG.md"}
"""Pages of the site, and the files in the root of the repository that they show."""
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
"""The title of a page."""
