"""Certificates, and clients that trust them."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

import trustme

from fraiseql_subs import TLS


class Credentials:
    """A certificate in files, and its authority.

    Args:
        folder: Where the files are written; those of before are replaced.
        names: Who it is for: by default this machine.
        authority: Who has issued it; by default one of its own.
        not_after: When it ends.
    """

    def __init__(
        self,
        folder: Path,
        *names: str,
        authority: trustme.CA | None = None,
        not_after: datetime | None = None,
    ) -> None:
        self.authority = authority or trustme.CA()
        issued = self.authority.issue_cert(
            *(names or ("127.0.0.1", "localhost")), not_after=not_after
        )
        folder.mkdir(exist_ok=True)
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.authorities = folder / "authorities.pem"
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.authorities.write_bytes(self.authority.cert_pem.bytes())

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
