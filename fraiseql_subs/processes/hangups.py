"""SIGHUP: a request to replace the processes, or the end of the terminal."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Hangups:
    """Handles SIGHUP from the moment on in which it is made: it does not end the program.

    Until something else handles it there is no process that could be replaced.
    """

    def __init__(self) -> None:
        # `nohup` ignores the SIGHUP of a terminal that closes.
        is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._had_terminal = not is_ignored and _has_terminal()
        signal.signal(signal.SIGHUP, self._receive)

    @property
    def is_terminal_gone(self) -> bool:
        """Whether the terminal of the program has been closed."""
        return self._had_terminal and not _has_terminal()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.is_terminal_gone:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError:
        return False
    return True
