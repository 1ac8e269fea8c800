"""SIGTERM and Ctrl-C: the first asks the loop to save and stop, the second ends at once."""

import os
import signal
import time
from types import FrameType
from typing import Any, Self

from mmtune.errors import Interrupted, RankLost
from mmtune.training.ranks import RankWatch

EXIT_CODES = {signal.SIGTERM: 75, signal.SIGINT: 130}
"""75 is EX_TEMPFAIL: run the same command again to go on."""

ONE_REQUEST_S = 2.0
"""Signals so near each other are one request: Ctrl-C, and many a scheduler, reach the ranks and
their launcher, which hands it on to the ranks."""


class StopSignals:
    """While open, a first signal asks for a stop, and a second one kills the process.

    While `in_steps`, the first is remembered, for the loop to save and stop at the end of its
    step. Before and after there is nothing to save, and it ends the run as it comes.

    Launchers also send SIGTERM to the ranks that are left when one has ended. That is no request:
    they are ending as it is, and are left to say why.
    """

    def __init__(self, ranks: RankWatch) -> None:
        self.in_steps = False
        self._ranks = ranks
        self._received = 0
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __call__(self) -> int:
        """The number of the signal received, 0 if none."""
        return self._received

    def __enter__(self) -> Self:
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # Where the run ends early, the first rank to be gone has its launcher stop the others.
        ignored = kind is not None and self._ranks.among_others
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if ignored else handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._ranks.lost():
            if not self.in_steps:
                raise RankLost(self._ranks.message())
            return
        if self._received:
            if time.monotonic() - self._when > ONE_REQUEST_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self._received, self._when = number, time.monotonic()
        if not self.in_steps:
            raise Interrupted(
                "stopped by a signal between steps, with nothing to save; run the same command "
                "with train.resume=auto to go on",
                exit_code=EXIT_CODES[signal.Signals(number)],
            )
        os.write(2, b"\nstopping after this step, with a checkpoint; once more ends at once\n")
