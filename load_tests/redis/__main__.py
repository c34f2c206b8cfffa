"""What events over Redis cost, where there is no peer to compare with.

    python -m load_tests.redis [--quick] [--only intake] [--json FILE] [--page]

Starts Redis and nodes by itself, and prints Markdown tables: CPU time of a node for one event when
64 are under way, beside the memory bus; events that a node takes in; events of one core of Redis;
calls to Redis for clients that return. Run it on a release build and an idle machine; each figure
is the best of five runs. With --page it writes them into docs/performance.md.
"""

from __future__ import annotations

from load_tests.redis.report import PROGRAM

if __name__ == "__main__":
    PROGRAM.main(__doc__)
