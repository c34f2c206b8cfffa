"""Certificates of servers at 127.0.0.1, and clients that trust them."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from fraiseql_subs import TLS


class Credentials:
    """A certificate for 127.0.0.1, and its authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("127.0.0.1", "localhost")
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    @property
    def tls(self) -> TLS:
        """The value for `serve`."""
        return TLS(cert=self.cert.read_bytes(), key=self.key.read_bytes())

    @property
    def option(self) -> str:
        """The code for `ServerProcess`."""
        return f", tls=TLS(cert={str(self.cert)!r}, key={str(self.key)!r})"

    @property
    def trusting(self) -> ssl.SSLContext:
        """A context of clients that trust the authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context
