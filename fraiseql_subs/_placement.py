"""Where the work of a manager is done: on how many threads, and whether in several processes.

Not here: starting processes (`processes`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._settings import check_workers
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._core import Core
    from ._core_handle import CoreHandle


class Placement(ABC):
    """The part of a manager that says where its work is done."""

    _handle: CoreHandle
    _options: dict[str, Any]

    @abstractmethod
    def _declared(self) -> Callable[[], Core]:
        """Return a function that builds the core."""

    @property
    def workers(self) -> int:
        """Threads that host connections (count). It can be set before the manager is started.

        Raises:
            ConfigurationError: Setting it: the manager runs, or it is no such count.
        """
        workers: int = self._options["workers"]
        return workers

    @workers.setter
    def workers(self, count: int) -> None:
        check_workers(count)
        if self._handle.is_running:
            raise ConfigurationError(
                "workers is set after the manager was started: set it before, or pass workers= to"
                " the manager"
            )
        self._options["workers"] = count
        self._handle.build_with(self._declared())

    @property
    def has_page(self) -> bool:
        """Whether browsers are served GraphiQL."""
        return self._options["page"] is not None

    @property
    def has_engine(self) -> bool:
        """Whether an engine carries events between processes; without one there is one process."""
        url: str = self._options["bus"].url
        return not url.startswith("memory:")
