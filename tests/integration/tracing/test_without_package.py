"""Without OpenTelemetry, or without a provider, all works as before."""

from __future__ import annotations

import sys

import pytest
from support.programs import finish, start

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""

PROGRAM = """
import asyncio, sys
from fraiseql_subs import *

@subscription(channel="values")
async def value(event: Event) -> int:
    return event.data

async def main():
    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as results:
        await manager.publish("values", 1)
        print((await anext(results)).data)
    print(any(name.startswith("opentelemetry") for name in sys.modules))

asyncio.run(main())
"""

REFUSED = """
try:
    Tracing()
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("before", ["", BLOCK], ids=["installed", "absent"])
async def test_it_is_neither_needed_nor_imported(before):
    code, out, err = await finish(await start(before + PROGRAM))
    assert (code, out.split("\n")[:2], err) == (0, ["{'value': 1}", "False"], "")


async def test_settings_of_a_package_that_is_absent_are_refused():
    code, out, err = await finish(await start(BLOCK + PROGRAM + REFUSED))
    assert (code, err) == (0, "")
    assert "install `fraiseql-subs[otel]`" in out


SET_BEFORE = """
from opentelemetry import trace
from support.spans import Exported
spans = Exported()
trace.set_tracer_provider(spans.provider)
"""


@pytest.mark.parametrize("tracing", ["True", "False"])
async def test_a_provider_of_the_program_turns_it_on(tracing):
    program = PROGRAM.replace("[value])", f"[value], tracing={tracing})")
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    told = "print(spans.names)"
    code, out, err = await finish(await start(path + SET_BEFORE + program + told))
    expected = ["publish values", "resolve value", "route"] if tracing == "True" else []
    assert (code, out.strip().split("\n")[-1], err) == (0, repr(expected), "")
