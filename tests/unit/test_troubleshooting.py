"""The page about troubleshooting has every close that the server sends, with its cause.

It and the page about logging name records that exist.
"""

from __future__ import annotations

import re

from support.paths import ROOT

PAGE = (ROOT / "docs/reference/troubleshooting.md").read_text()
LOGGING = (ROOT / "docs/how-to/logging.md").read_text()
LOGS = (ROOT / "docs/reference/logs.md").read_text()
METRICS = (ROOT / "docs/reference/metrics.md").read_text()
CLOSE = re.compile(r'(?:Close|Self)::new\(\s*(\d{4}),\s*(?:format!\(\s*)?(?:"([^"]*)")?')
LATER = re.compile(r'try_again_later\("([^"]*)"\)')


def sent() -> set[tuple[str, str]]:
    """Each code with the beginning of its reason, up to a value; that of 1002 varies."""
    found: set[tuple[str, str]] = set()
    for crate in ("protocol", "runtime", "server", "python"):
        for source in (ROOT / "rust" / crate / "src").rglob("*.rs"):
            if "test" in source.stem:
                continue
            code = source.read_text().split("#[cfg(test)]\nmod tests")[0]
            for number, reason in CLOSE.findall(code):
                found.add((number, "" if number == "1002" else reason.split("{")[0].strip()))
            found |= {("1013", reason) for reason in LATER.findall(code)}
    # Answered over HTTP alone, with 503.
    return found - {("1013", "Authentication took too long")}


def rows() -> list[list[str]]:
    """The cells of the table of close codes."""
    (table,) = re.findall(r"\n## By close code\n.*?\n(\|.*?)\n\n", PAGE, re.DOTALL)
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_every_close_has_a_row():
    known = [(row[0], row[1]) for row in rows()]
    assert len(sent()) > 15
    missing = [
        (code, reason)
        for code, reason in sorted(sent())
        if not any(number == code and reason in text for number, text in known)
    ]
    assert missing == []


def test_every_row_says_what_to_do():
    assert all(len(row) == 5 and row[2] and row[3] and row[4] for row in rows())


def test_every_status_of_a_close_has_a_row():
    source = (ROOT / "rust/protocol/src/close.rs").read_text()
    body = source.partition("fn http_status")[2].partition("\n    }\n")[0]
    statuses = set(re.findall(r"=> (\d{3}),", body)) - {"401"}
    assert len(statuses) > 4
    by_status = PAGE.partition("\n## By status\n")[2]
    assert [status for status in statuses if f"\n| {status} |" not in by_status] == []


def test_every_record_that_is_named_exists():
    known = re.findall(r"^\| `(\w+\.\w+)` \|", LOGS, re.MULTILINE)
    alerts = LOGGING.partition("## What to alert on")[2].partition("## ")[0]
    families = {name.partition(".")[0] for name in known}
    named = [
        name
        for name in re.findall(r"`(\w+\.\w+)`", PAGE + alerts)
        if name.partition(".")[0] in families
    ]
    assert len(named) > 20
    assert [name for name in named if name not in known] == []


def test_every_counter_that_is_named_exists():
    named = re.findall(r"`(\w+)` grows", PAGE) + re.findall(r"`(\w+)` does not grow", PAGE)
    assert named
    assert [name for name in named if f"| `{name}` |" not in METRICS] == []
