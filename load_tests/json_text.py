"""What it costs to make JSON of Python values, beside orjson in the same run.

    python load_tests/json_text.py

Prints CPU time of one thread for each value, the best of several rounds; the two take turns.
`Event(data)` converts as `publish` does, and makes an index and the event. Not here: publishing
(`micro`).
"""

from __future__ import annotations

import platform
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from fraiseql_subs import Event

ROUNDS = 15
SECONDS = 0.02


@dataclass
class Order:
    """An order."""

    id: int
    user_id: int
    status: str
    total: float


SMALL = {"id": 7, "user_id": 3, "status": "PAID", "total": 12.5}
LINE = {"sku": "A-1029", "name": "a thing", "count": 3, "price": 19.99, "tags": ["new", "eu"]}
RANDOM = random.Random(7)

VALUES: dict[str, Any] = {
    "dict of 4 fields": SMALL,
    "dict of 2 KiB": {**SMALL, "lines": [LINE] * 21},
    "dict of 20 KiB": {**SMALL, "lines": [LINE] * 220},
    "dataclass of 4 fields": Order(**SMALL),
    "100 dataclasses": [Order(**SMALL)] * 100,
    "1,000 floats": [RANDOM.random() for _ in range(1000)],
    "text of 2 KiB, ASCII": "x" * 2048,
    "text of 2 KiB, escapes": 'say "hi"\n' * 228,
    "text of 2 KiB, not ASCII": "日本é " * 230,
}


def cost(convert: Callable[[Any], object], value: Any) -> float:
    """Return the CPU time of one conversion (seconds)."""
    count, start = 0, time.thread_time()
    while time.thread_time() - start < SECONDS:
        for _ in range(20):
            convert(value)
        count += 20
    return (time.thread_time() - start) / count


def main() -> None:
    """Measure and print."""
    sys.stdout.write(f"Python {platform.python_version()}, orjson {orjson.__version__}\n")
    sys.stdout.write(f"{'':26} {'fraiseql-subs':>14} {'orjson':>10} {'ratio':>7}\n")
    for name, value in VALUES.items():
        pairs = [(cost(Event, value), cost(orjson.dumps, value)) for _ in range(ROUNDS)]
        ours, theirs = (min(column) * 1e6 for column in zip(*pairs, strict=True))
        sys.stdout.write(f"{name:26} {ours:11.3f} us {theirs:7.3f} us {ours / theirs:7.2f}\n")


if __name__ == "__main__":
    main()
