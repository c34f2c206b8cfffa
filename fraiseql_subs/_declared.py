"""What a manager was given, for the commands that write code and publish with it.

Not here: what programs ask of a manager.
"""

from __future__ import annotations

from typing import Any

from ._building import Declarations
from ._bus import BusOptions
from .config import History
from .security import TenantIsolation


class Declared:
    """The part of a manager that says what it was given."""

    _declarations: Declarations
    _options: dict[str, Any]

    @property
    def declarations(self) -> Declarations:
        """What its schema is made of."""
        return self._declarations

    @property
    def bus_options(self) -> BusOptions:
        """What carries events; it may hold a password."""
        options: BusOptions = self._options["bus"]
        return options

    @property
    def history(self) -> History | None:
        """Events that are kept for clients that reconnect; None: none."""
        history: History | None = self._options["history"]
        return history

    @property
    def tenant_isolation(self) -> TenantIsolation | None:
        """How events are kept apart by tenant; None: they are not."""
        tenant: TenantIsolation | None = self._options["security"].tenant
        return tenant
