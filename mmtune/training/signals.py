"""SIGTERM and Ctrl-C: the first asks the loop to save and stop, the second ends at once."""

import os
import signal
from types import FrameType
from typing import Any, Self

from mmtune.errors import Interrupted

EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}
"""75 is EX_TEMPFAIL: run the same command again to go on."""


class StopSignals:
    """While open, a first signal asks for a stop, and a second one kills the process.

    While `in_steps`, the first is remembered, for the loop to save and stop at the end of its
    step. Before and after there is nothing to save, and it ends the run as it comes.
    """

    def __init__(self) -> None:
        self.in_steps = False
        self._received = 0
        self._before: dict[int, Any] = {}

    def __call__(self) -> int:
        """The number of the signal received, 0 if none."""
        return self._received

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        for every in EXIT_CODES:
            signal.signal(every, signal.SIG_DFL)  # the second one kills, whatever goes on
        if not self.in_steps:
            raise Interrupted(
                "stopped by a signal between steps, with nothing to save; run the same command "
                "with train.resume=auto to go on",
                exit_code=EXIT_CODES[signal.Signals(number)],
            )
        os.write(2, b"\nstopping after this step, with a checkpoint; once more ends at once\n")
