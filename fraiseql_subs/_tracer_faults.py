"""Reports what OpenTelemetry raises, which costs a span, but neither an event nor a call."""

from __future__ import annotations

from ._faults import faults


def report(fault: Exception) -> None:
    """Report what a tracer, a sampler or a span processor has raised."""
    faults.raised("OpenTelemetry raised; a span is missing", fault)
