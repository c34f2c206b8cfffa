"""graphql-js, graphql-core and this package return equal responses to a request and value."""

from __future__ import annotations

import pytest
from answers import WAYS, ask_core, can_carry
from themes import CASES


def test_the_table_is_large_and_its_names_are_unique():
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_graphql_core_answers_as_graphql_js(case, js):
    assert await ask_core(case) == (case.core or js[case])


@pytest.mark.parametrize(
    ("case", "way"),
    [
        pytest.param(case, way, id=f"{case}-from-{way}")
        for case in CASES
        for way in WAYS
        if can_carry(way, case)
    ],
)
def test_we_answer_as_graphql_js(case, way, js, ours):
    assert ours[case, way] == (case.ours or js[case])
