"""Random schemas, documents and values, answered by graphql-core and us.

As many examples as `FUZZ_EXAMPLES` says (count; default 2,000, always the same ones); more, and
other ones at each run: `make fuzz-graphql`. A failure is shrunk: enter it into `themes`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from answers import WAYS, Ours, ask_core_with, can_carry
from generated import cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One loop for all examples, which are no coroutines to Hypothesis."""
    event_loop = asyncio.new_event_loop()
    yield event_loop
    event_loop.close()


@pytest.mark.timeout(max(900, EXAMPLES))
@settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(case=cases(), way=st.sampled_from(WAYS))
def test_we_answer_random_requests_as_graphql_core(case, way, loop):
    async def ask() -> tuple:
        ours = Ours(case.sdl, way)
        async with ours.manager:
            return await ours.ask(case), await ask_core_with(ours.schema, case)

    assert can_carry(way, case)
    mine, reference = loop.run_until_complete(ask())
    assert mine == reference
