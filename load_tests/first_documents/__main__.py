"""What a document costs that was never seen before, beside other executors, in one run.

    python -m load_tests.first_documents [--rounds N] [--seconds S] [--json FILE]

Each program measures its own CPU time for the same documents and the same schema. Programs take
turns, so that other load on the machine affects all. Prints the median of the rounds (µs).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from load_tests.first_documents.corpus import corpus

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ROOT / "load_tests/compare/peers"

CONTENDERS: dict[str, list[str]] = {
    "fraiseql-subs": ["cargo", "bench", "-q", "--locked", "-p", "graphql", "--bench", "documents"],
    "async-graphql": [str(PEERS / "target/release/first_documents")],
    "graphql-js": ["node", str(HERE / "js.mjs")],
    "graphql-core": [sys.executable, str(HERE / "core.py")],
}


def measure(command: list[str], file: str, seconds: float) -> dict[str, dict[str, float]]:
    """Run one program, and return its costs by document and kind."""
    separator = ["--"] if command[0] == "cargo" else []
    arguments = [*command, *separator, file, str(seconds)]
    output = subprocess.run(arguments, check=True, capture_output=True, cwd=ROOT, text=True)
    costs: dict[str, dict[str, float]] = json.loads(output.stdout.strip().splitlines()[-1])
    return costs


def main() -> None:
    """Measure in rounds, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = corpus()
    runs: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "corpus.json"
        file.write_text(json.dumps(data))
        for _ in range(options.rounds):
            for name, command in CONTENDERS.items():
                runs[name].append(measure(command, str(file), options.seconds))
    for name, rounds in runs.items():
        for document in data["documents"]:
            for kind in rounds[0][document["name"]]:
                costs = [costs[document["name"]][kind] for costs in rounds]
                line = f"{name:14} {document['name']:7} {kind:6} {statistics.median(costs):9.2f}"
                sys.stdout.write(f"{line}  ({min(costs):.2f})\n")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
