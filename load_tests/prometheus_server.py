"""A private Prometheus on a free port, that scrapes nodes and answers queries."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any, ClassVar

from load_tests.private_server import PATIENCE, PrivateServer


class PrometheusServer(PrivateServer):
    """A private server; `with PrometheusServer(targets) as prometheus`.

    Args:
        targets: Host and port of each node.
        every: Time between two scrapes (seconds).
    """

    name = "prometheus"
    end: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, targets: Iterable[str], every: int) -> None:
        super().__init__()
        job = {"job_name": "shop", "static_configs": [{"targets": list(targets)}]}
        settings = {"global": {"scrape_interval": f"{every}s"}, "scrape_configs": [job]}
        # YAML contains JSON.
        (self.directory / "prometheus.yml").write_text(json.dumps(settings))

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return how it is started on its port."""
        program = shutil.which(self.name)
        if program is None:
            raise SystemExit("prometheus is not installed: apt-get install prometheus")
        return [
            program,
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def answers(self) -> bool:
        """Ask whether it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def query_range(self, expression: str, begin: float, end: float, step: int) -> list[Any]:
        """Return the series of an expression: their labels as `metric`, and `values`."""
        parameters = {"query": expression, "start": begin, "end": end, "step": step}
        asked = f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(asked, timeout=PATIENCE) as response:
            found: list[Any] = json.load(response)["data"]["result"]
        return found
