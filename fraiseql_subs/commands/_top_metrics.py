"""Reads the metrics of a server, and what has become of them since another reading.

Not here: what `fraiseql-subs top` shows of them (`_top_sections`). Importing this needs the extra
`cli`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ._endpoint import Endpoint, cause_of
from ._printable import printable

PREFIX = "fraiseql_subs_"
"""What the names of all metrics of the product begin with."""

READ_TIMEOUT = 10.0
"""How long a server may take to answer (seconds)."""

_ADVICE = "write the URL of the metrics, such as http://host:8000/metrics"

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values of the labels of a series, in order."""


class MetricsUnreadable(Exception):
    """The server is not reached, or its answer has no metrics of the product."""


@dataclass
class Buckets:
    """A histogram: how many values are at most as large as each bound, and their sum."""

    counts: dict[float, float] = field(default_factory=dict)
    total: float = 0.0

    @property
    def count(self) -> float:
        """The number of values."""
        return self.counts.get(float("inf"), 0.0)

    def add(self, other: Buckets) -> None:
        """Count the values of another one as well."""
        for bound, count in other.counts.items():
            self.counts[bound] = self.counts.get(bound, 0.0) + count
        self.total += other.total

    def since(self, earlier: Buckets | None) -> Buckets:
        """Return the values of the time between; all, if the server was restarted in it."""
        if earlier is None or self.count < earlier.count:
            return self
        counts = {
            bound: count - earlier.counts.get(bound, 0.0) for bound, count in self.counts.items()
        }
        return Buckets(counts, self.total - earlier.total)

    def quantile(self, share: float) -> float | None:
        """Return the value that a share of all does not exceed, as Prometheus estimates it.

        None: there is no value.
        """
        wanted = share * self.count
        if wanted <= 0:
            return None
        below, before = 0.0, 0.0
        for bound, count in sorted(self.counts.items()):
            if count >= wanted:
                if bound == float("inf"):
                    return below
                return below + (bound - below) * (wanted - before) / (count - before)
            below, before = bound, count
        return below


@dataclass
class Family:
    """All series of one name.

    Attributes:
        kind: `counter`, `gauge`, `histogram`, or another word.
        values: The value of each series, for all but histograms.
        buckets: Those of each series of a histogram.
    """

    kind: str
    values: dict[Labels, float] = field(default_factory=dict)
    buckets: dict[Labels, Buckets] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The value of the series without labels, or of all series together."""
        return self.values[()] if () in self.values else sum(self.values.values())

    def by(self, label: str) -> dict[str, float]:
        """Return the value for each value of a label."""
        found: dict[str, float] = {}
        for labels, value in self.values.items():
            if (name := dict(labels).get(label)) is not None:
                found[name] = found.get(name, 0.0) + value
        return found

    def buckets_by(self, label: str | None) -> dict[str, Buckets]:
        """Return the histogram for each value of a label; None: one of all, as ""."""
        found: dict[str, Buckets] = {}
        for labels, buckets in self.buckets.items():
            name = "" if label is None else dict(labels).get(label)
            if name is not None:
                found.setdefault(name, Buckets()).add(buckets)
        return found


@dataclass(frozen=True)
class MetricsReading:
    """The metrics of a server at one time.

    Attributes:
        at: When they were read (seconds of a monotonic clock).
        families: By the name without the prefix of the product, and without `_total`.
    """

    at: float
    families: Mapping[str, Family]

    @classmethod
    def parse(cls, text: str, at: float) -> MetricsReading:
        """Read the text format of Prometheus.

        Raises:
            MetricsUnreadable: It is none, or has no metrics of the product.
        """
        families: dict[str, Family] = {}
        try:
            for found in text_string_to_metric_families(text):
                if found.name.startswith(PREFIX):
                    families[found.name.removeprefix(PREFIX)] = _family(found)
        except Exception:
            # The library raises whatever the text leads to.
            raise MetricsUnreadable(f"the answer is no text of Prometheus: {_ADVICE}") from None
        if not families:
            text = f"the answer has no metric whose name begins with {PREFIX}: {_ADVICE}"
            raise MetricsUnreadable(text)
        return cls(at, families)

    def value(self, name: str) -> float:
        """Return the value of a metric, 0 if there is none."""
        family = self.families.get(name)
        return 0.0 if family is None else family.value


def _family(found: Any) -> Family:
    family = Family(found.type)
    for sample in found.samples:
        labels = dict(sample.labels)
        if found.type != "histogram":
            if not sample.name.endswith("_created") and math.isfinite(sample.value):
                family.values[tuple(sorted(labels.items()))] = sample.value
            continue
        bound = labels.pop("le", None)
        buckets = family.buckets.setdefault(tuple(sorted(labels.items())), Buckets())
        if bound is not None:
            buckets.counts[float(bound)] = sample.value
        elif sample.name.endswith("_sum"):
            buckets.total = sample.value
    return family


class MetricsReader:
    """Reads the metrics of a server again and again, over one connection; in `async with`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = endpoint.client(timeout=READ_TIMEOUT)

    async def __aenter__(self) -> MetricsReader:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._client.aclose()

    async def read(self) -> MetricsReading:
        """Read them.

        Raises:
            MetricsUnreadable: That fails; the message says why.
        """
        headers = httpx.Headers({"accept": "text/plain;version=0.0.4"})
        headers.update(list(self._endpoint.headers))
        try:
            response = await self._client.get(self._endpoint.http_url, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise MetricsUnreadable(printable(cause_of(error, self._endpoint))) from None
        if response.status_code != 200:
            text = printable(f"{response.status_code} {response.reason_phrase}")
            raise MetricsUnreadable(f"{text}: {_ADVICE}")
        return MetricsReading.parse(response.text, time.monotonic())
