"""What a manager was given, and what documents ask of it, for the commands.

Not here: what programs ask of a manager.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from ._building import Declarations
from ._bus import BusOptions
from ._summary import DocumentSummary
from ._texts import naming_lone_surrogates
from .config import History, Limits
from .errors import ValidationError
from .security import TenantIsolation

if TYPE_CHECKING:
    from ._core import Core


class Declared(ABC):
    """The part of a manager that says what it was given."""

    _declarations: Declarations
    _options: dict[str, Any]

    @property
    @abstractmethod
    def _core(self) -> Core:
        """The compiled core."""

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
    def limits(self) -> Limits:
        """Bounds of queues, messages and documents."""
        limits: Limits = self._options["limits"]
        return limits

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

    def summarize(self, document: str) -> DocumentSummary:
        """Check a document as `validate` does, and return what it asks for.

        Raises:
            ValidationError: A client would be refused.
        """
        with naming_lone_surrogates(ValidationError):
            return self._core.validate(document)
