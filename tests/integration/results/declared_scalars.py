"""Scalars that an application declares."""

from __future__ import annotations

import base64
from typing import Annotated

from fraiseql_subs import Scalar


def decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is not Base64") from error


Base64 = Annotated[
    bytes,
    Scalar(
        "Base64",
        serialize=lambda value: base64.b64encode(value).decode(),
        parse=decode,
        description="Bytes as text.",
        specified_by="https://www.rfc-editor.org/rfc/rfc4648",
    ),
]
