"""Unicode, escapes, comments and white space, in documents and in values, and their places."""

from __future__ import annotations

import functools

from case import Case

SDL = """
    type Query { ok: Boolean }
    scalar JSON
    type Subscription { text: String order: Order echo(string: String): JSON }
    type Order { note: String! number: Int }
"""

case = functools.partial(Case, sdl=SDL)

TEXTS = [
    "plain",
    'quote " backslash \\ slash /',
    "line\nfeed\r\ttab",
    "\b\f\x00\x01\x1f\x7f",
    "é ü ß ñ",
    "日本語",
    "😀👩\u200d👩\u200d👧",
    "\u2028\u2029\ufeff",
    "</script>",
    "e\u0301",
    "\ud7ff\ue000\ufffd\U0010ffff",
    " " * 1000,
    "x" * 10_000,
]

LITERALS = [
    '"\\u0041\\u00e9"',
    '"\\ud83d\\ude00"',
    '"\\u{1F600}"',
    '"\\b\\f\\n\\r\\t\\/\\\\\\""',
    '"é日😀"',
    '"""one line"""',
    '"""\n    first\n      second\n    third\n"""',
    '"""\n\n  a\n\n  b\n\n"""',
    '"""with \\""" in it"""',
    '"""with \\u0041 and \\n kept"""',
    '"""  a\n b\n   c"""',
    '""""quoted" """',
    '"""a\r\n  b\r  c"""',
    '""',
    '""""""',
    '"# no comment"',
]

CASES = [
    *(case(f"a value of text {text[:20]!r}", "subscription { text }", text) for text in TEXTS),
    *(
        case(
            f"a variable of text {text[:20]!r}",
            "subscription ($s: String) { echo(string: $s) }",
            variables={"s": text},
        )
        for text in TEXTS
    ),
    *(
        case(f"a literal {literal!r}", f"subscription {{ echo(string: {literal}) }}")
        for literal in LITERALS
    ),
    case("a byte order mark in front", "\ufeffsubscription { text }", "x"),
    case("commas are white space", "subscription,{,text,,}", "x"),
    case("comments", "# a comment é\nsubscription { # another\n text # the last\n}# end", "x"),
    case("no white space at all", "subscription{order{note}}", {"note": "x"}),
    case(
        "tabs and line ends of every kind",
        "subscription\t{\r\n\torder {\rnote\n}\r\n}",
        {"note": "x"},
    ),
    case(
        "the place of an error after line ends of every kind",
        "subscription {\r\n order {\r  note\n }\n}",
        {},
    ),
    case("the place of an error after a tab", "subscription {\torder {\tnote } }", {}),
    case(
        "the place of an error after characters beyond ASCII",
        "subscription { order { ...F } echo: order { note } } # é😀\nfragment F on Order { note }",
        {},
    ),
    case(
        "the place of an error behind text of two units",
        'subscription ($s: String = "é😀") { order { note } }',
        {},
    ),
    case(
        "the place of an error behind a block string",
        'subscription { e: echo(string: """\n😀\n""") ...F } fragment F on Subscription { nothing }',
    ),
    case("the place of an error on the first character", "query { text }"),
    case("the place of an error behind a byte order mark", "\ufeffsubscription { nothing }"),
    case("an alias of underscores", "subscription { __: text }", "x"),
]
