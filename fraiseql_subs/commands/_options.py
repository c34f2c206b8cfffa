"""Errors of settings as those of options: what a command line has in place of a parameter.

Not here: the checks, which programs meet as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FOR_PROGRAMS = re.compile(
    r", or (?:None\b(?: for (?:the )?\w+)?|Drain\(\.\.\.\)|its coroutine|a list of such texts)"
    r"|; history=None keeps nothing"
)
"""What only a program can write."""


def option_text(error: Exception | str, options: Mapping[str, str]) -> str:
    """Return the text of an error, with options in place of settings.

    Args:
        error: It begins with a setting, as in `port is 70000: pass ...`; elsewhere a setting is
            written as in `unix= and port=: ...`.
        options: The option of each setting.
    """
    names = "|".join(map(re.escape, options)) or "(?!)"
    setting = rf"(?:^(?P<first>{names})(?![\w.])|(?<![\w.])(?P<other>{names})(?==))"
    # Without a value after it, `=` is no part of an option.
    text = re.sub(
        rf"{setting}(?:=(?=[\s:;,.]|$))?",
        lambda match: options[match["first"] or match["other"]],
        str(error),
    )
    return _FOR_PROGRAMS.sub("", text)
