"""`fraiseql-subs serve --log-format json` beside a program that has its own logging and hooks."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.programs import ENVIRONMENT, finish

APP = """
import logging.config, threading, warnings
from fraiseql_subs import SubscriptionManager, passthrough

manager = SubscriptionManager([passthrough("orders", str, channel="orders")], workers=1)

def configure():
    # It disables the loggers that it does not name.
    logging.config.dictConfig({
        "version": 1,
        "handlers": {"all": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["all"], "level": "INFO"},
    })

def fail():
    raise LookupError("of a thread")

def happen():
    warnings.warn("a setting is old", stacklevel=1)
    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()

async def main():
    configure()
    happen()
    raise RuntimeError("the database is away")
"""

AT_IMPORT = """
configure()
happen()
raise RuntimeError("the database is away")
"""

HOOKS = """
import sys, threading, warnings

def raised(kind, error, trace):
    print("hook:", error, flush=True)

def raised_by_thread(told):
    print("thread hook:", told.exc_value, flush=True)

def warned(message, category, filename, lineno, file=None, line=None):
    print("warning hook:", message, flush=True)

sys.excepthook, threading.excepthook, warnings.showwarning = raised, raised_by_thread, warned
"""


async def serve(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Serve until the program ends; return its status, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "serve", "app:manager", "--port", "0"),
        *("--log-format", "json", *arguments),
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": f"{folder}:{ENVIRONMENT['PYTHONPATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await finish(process)


def records_of(err: str) -> list[dict[str, Any]]:
    """Return the records of JSON; the program may write others."""
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("is_at_import", [True, False], ids=["import", "main"])
async def test_what_python_prints_is_written_when_loggers_are_disabled(tmp_path, is_at_import):
    (tmp_path / "app.py").write_text(APP + (AT_IMPORT if is_at_import else ""))
    status, _, err = await serve(tmp_path, "--main", "app:main")
    assert status != 0 and "a setting is old" in err
    records = records_of(err)
    messages = {each["message"]: each for each in records}
    thread = messages["an exception ends thread worker: LookupError: of a thread"]
    assert 'raise LookupError("of a thread")' in thread["exception"]
    assert "the database is away" in records[-1]["message"]
    assert records[-1]["event_name"] == "program.failed"


async def test_hooks_that_were_there_before_are_called(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HOOKS)
    (tmp_path / "app.py").write_text(APP + "\nhappen()\n\nasync def nothing():\n    pass\n")
    status, out, err = await serve(tmp_path, "--main", "app:nothing")
    assert status == 0
    assert "warning hook: a setting is old" in out and "thread hook: of a thread" in out
    events = [each.get("event_name") for each in records_of(err)]
    assert "exception.unhandled" in events
