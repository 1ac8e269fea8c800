"""SIGTERM and Ctrl-C: the first asks the loop to save and stop, the second ends at once."""

import signal
from types import FrameType
from typing import Any, Self

EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}
"""75 is EX_TEMPFAIL: run the same command again to go on."""


class StopSignals:
    """While open, remembers the first signal instead of dying of it."""

    def __init__(self) -> None:
        self._received = 0
        self._before: dict[int, Any] = {}

    def __call__(self) -> int:
        """The number of the signal received, 0 if none."""
        return self._received

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        signal.signal(number, self._before[number])  # a second one acts at once
