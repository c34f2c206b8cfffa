"""What graphql-core takes to parse and validate a document.

python core.py CORPUS.json SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from graphql import build_schema, parse, validate


def cost(seconds: float, work: Callable[[int], None]) -> float:
    """CPU time of one call, of as many as take this time (microseconds)."""
    started = time.process_time()
    calls = 0
    while True:
        work(calls)
        calls += 1
        used = time.process_time() - started
        if used > seconds:
            return used / calls * 1e6


def main() -> None:
    """Measure each document, and print."""
    corpus = json.loads(Path(sys.argv[1]).read_text())
    schema = build_schema(corpus["sdl"])
    costs = {}
    for document in corpus["documents"]:
        text = document["text"]

        def work(number: int, text: str = text) -> None:
            errors = validate(schema, parse(text.replace("NUMBER", str(number))))
            if errors:
                raise errors[0]

        costs[document["name"]] = {"first": cost(float(sys.argv[2]), work)}
    sys.stdout.write(json.dumps(costs) + "\n")


if __name__ == "__main__":
    main()
