"""What each engine costs, where there is no peer to compare with.

    python -m load_tests.engines [--quick] [--only intake,slot,channels] [--json FILE] [--page]

Starts the engines and nodes by itself, and prints Markdown tables: events that one node takes in;
what a connected node costs PostgreSQL while others write; what 10,000 channels cost. Run it on a
release build and an idle machine; each figure is the best of the runs. With --page it writes them
into docs/performance.md. Latencies are measured beside peers: `make compare ONLY=engines`.
"""

from __future__ import annotations

from load_tests.engines.report import PROGRAM

if __name__ == "__main__":
    PROGRAM.main(__doc__)
