"""Result coercion: each scalar of the specification with each kind of value."""

from __future__ import annotations

import functools
import math

from case import Case

TYPES = ("Int", "Float", "String", "Boolean", "ID", "Kind", "Free")

SDL = f"""
    type Query {{ ok: Boolean }}
    scalar Free
    enum Kind {{ RED GREEN true_ }}
    type Subscription {{ {" ".join(f"{name}: {name} {name}s: [{name}]" for name in TYPES)} }}
"""

case = functools.partial(Case, sdl=SDL)

VALUES = [
    True,
    False,
    0,
    1,
    -1,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**53 - 1,
    -(2**53) + 1,
    0.0,
    1.0,
    1.5,
    -0.25,
    1e3,
    1e21,
    1e-7,
    123456789.123,
    0.1,
    1e300,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "5",
    " 5 ",
    "-3",
    "1.5",
    "1e3",
    "0x10",
    "five",
    "true",
    "RED",
    "BLUE",
    "é😀",
    [],
    [1],
    ["RED"],
    {},
    {"a": 1},
    {"RED": 1},
]

CASES = [
    case(f"{name} from {value!r}", f"subscription {{ {name} }}", value)
    for name in TYPES
    for value in VALUES
    # As JSON it is the case of Infinity again, and it is equal to no value.
    if not (name == "Free" and math.isnan(value if isinstance(value, float) else 0))
]
