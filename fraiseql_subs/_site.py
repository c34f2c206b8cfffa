"""What a server serves, and behind which proxies: the paths and headers of its clients.

Not here: where it listens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ._settings import (
    STATUS_PATHS,
    PublishSettings,
    check_endpoint,
    check_flag,
    check_proxies,
    check_publishing,
    check_root,
)
from .config import refuse
from .errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Site:
    """What a server serves; see `SubscriptionManager.serve`.

    Attributes:
        path: Path of the GraphQL endpoint.
        root_path: Where all paths are served too, without a slash at its end; "": nowhere else.
        publish: The path at which programs publish, and their keys; None: nowhere.
        compression: Whether messages of WebSockets may be compressed.
        trusted_proxies: The proxies that tell the addresses of clients.
        proxy_protocol: Whether each connection begins with the header of such a proxy.
    """

    path: str
    root_path: str
    publish: PublishSettings | None
    compression: bool
    trusted_proxies: list[str]
    proxy_protocol: bool

    @classmethod
    def read(
        cls,
        path: str,
        root_path: str,
        publish_key: str | Collection[str] | None,
        publish_path: str,
        *,
        compression: bool,
        trusted_proxies: Collection[str],
        proxy_protocol: bool,
    ) -> Site:
        """Check the settings.

        Raises:
            ConfigurationError: One is out of its range, or contradicts another one.
        """
        check_endpoint(path)
        publish = check_publishing(publish_key, publish_path, path)
        check_flag("compression", compression)
        check_proxies(trusted_proxies)
        check_flag("proxy_protocol", proxy_protocol)
        root = check_root(root_path)
        _refuse_overlaps(root, [path] if publish is None else [path, publish[0]])
        return cls(path, root, publish, compression, list(trusted_proxies), proxy_protocol)

    def check_listening(self, *, is_unix: bool) -> None:
        """Refuse a PROXY protocol that no proxy could speak at the socket of the server.

        Raises:
            ConfigurationError: No trusted proxy can connect there.
        """
        if not self.proxy_protocol:
            return
        if is_unix and "unix" not in self.trusted_proxies:
            raise ConfigurationError(
                'proxy_protocol=True at a unix socket needs trusted_proxies=["unix"]: only trusted'
                " proxies may connect"
            )
        if not is_unix and set(self.trusted_proxies) <= {"unix"}:
            raise ConfigurationError(
                "proxy_protocol=True needs trusted_proxies=: list the addresses of the proxies,"
                ' such as ["10.0.0.5"]; only they may connect'
            )


def _refuse_overlaps(root: str, paths: list[str]) -> None:
    """Refuse a root below which a path would be that of something else."""
    served = {path.rstrip("/") for path in [*paths, *STATUS_PATHS]}
    for path in served:
        if root and root + path in served:
            refuse("root_path", root, f"{root + path} would be two things: use another")
