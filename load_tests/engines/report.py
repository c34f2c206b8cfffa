"""The tables of what was measured over the engines.

Not here: measuring (measurements.py).
"""

from __future__ import annotations

from load_tests.compare.report import Markers
from load_tests.engines import measurements
from load_tests.engines.measurements import Size
from load_tests.tables import Program, Table

TABLES: tuple[Table[Size], ...] = (
    Table(
        "intake",
        "Events that one node takes in from 16 channels, none matches; CPU in µs per event",
        measurements.intake,
        {
            "events a second": "per_second",
            "node": "node_us",
            "engine": "engine_us",
            "read from history": "gap_events",
            "missed": "missed",
        },
    ),
    Table(
        "slot",
        "A node of PostgreSQL while rows of 200 bytes are written that are no events",
        measurements.slot,
        {
            "MiB of log": "wal",
            "walsender, µs per row": "sender_row",
            "walsender, ms per MiB of log": "sender_mib",
            "node, µs per row": "node_row",
        },
    ),
    Table(
        "channels",
        "A node that wants 10,000 channels, one subscription each",
        measurements.channels,
        {
            "seconds until all are ready": "ready",
            "node, KiB per channel": "node_bytes",
            "engine, KiB per channel": "engine_bytes",
            "node, ms of CPU a second while idle": "node_cpu",
            "engine, ms of CPU a second while idle": "engine_cpu",
        },
    ),
)

PROGRAM = Program(
    name="load_tests.engines",
    tables=TABLES,
    full=measurements.FULL,
    quick=measurements.QUICK,
    markers=Markers.of("bench-engines", "python -m load_tests.engines --page"),
)
