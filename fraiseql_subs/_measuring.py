"""What a manager has counted: as numbers, as samples with labels, and as text for programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .metrics import Metrics, MetricSample, read_samples

if TYPE_CHECKING:
    from ._core import Core

OPENMETRICS = "application/openmetrics-text"


class Measuring(ABC):
    """The part of a manager that says what it has counted."""

    @property
    @abstractmethod
    def _core(self) -> Core:
        """The compiled core."""

    def prometheus(self) -> str:
        """Return the current metrics in the text format of Prometheus, version 0.0.4.

        The type of this content is `text/plain; version=0.0.4; charset=utf-8`.
        """
        return self._core.metrics_text(None)[1]

    def openmetrics(self) -> str:
        """Return the current metrics in the text format of OpenMetrics.

        The type of this content is `application/openmetrics-text; version=1.0.0; charset=utf-8`.
        """
        return self._core.metrics_text(OPENMETRICS)[1]

    def metrics(self) -> Metrics:
        """Return the current counters, without labels."""
        return Metrics(**self._core.metrics())

    def samples(self) -> list[MetricSample]:
        """Return the current metrics with their labels; none before the manager is started."""
        return read_samples(self._core.samples())
