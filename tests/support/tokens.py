"""JSON Web Tokens, signed with the standard library only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

SECRET = "an-example-secret-of-thirty-two-bytes"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(*, secret: str = SECRET, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Sign claims by HS256, with the standard library only."""
    claims = {"sub": "ada", "exp": time.time() + 60, **claims}
    parts = [{"alg": "HS256", "typ": "JWT"} if header is None else header, claims]
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode(signature)}"
