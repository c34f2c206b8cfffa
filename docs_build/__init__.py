"""Makes the documentation site from `docs`: hooks of mkdocs, and a check of the result."""
