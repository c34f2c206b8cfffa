"""The responses of graphql-js and of this package to the whole table, run once."""

from __future__ import annotations

import asyncio

import pytest
from answers import ask_js, ask_ours
from case import Answer, Case
from themes import CASES


@pytest.fixture(scope="session")
def js() -> dict[Case, Answer]:
    return dict(zip(CASES, ask_js(CASES), strict=True))


@pytest.fixture(scope="session")
def ours() -> dict[tuple[Case, str], Answer | Exception]:
    return asyncio.run(ask_ours(CASES))
