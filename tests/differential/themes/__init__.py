"""The table of cases: one module for each theme, with its schema and its `CASES`."""

from __future__ import annotations

from case import Case

from themes import (
    abstract_types,
    conditions,
    differences,
    inputs,
    introspection,
    nulls,
    operations,
    scalars,
    selections,
    syntax,
    text,
    validation,
)

CASES: list[Case] = differences.apply(
    [
        case
        for theme in (
            selections,
            abstract_types,
            conditions,
            nulls,
            scalars,
            inputs,
            text,
            operations,
            introspection,
            syntax,
            validation,
        )
        for case in theme.CASES
    ]
)
