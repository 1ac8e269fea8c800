"""The other processes of a run, watched: when one ends, the rest end too, soon and with a word.

A step needs every rank. Where one has died, gloo fails in the next collective, but NCCL may wait
for ever, and a rank that is busy with its own part does not notice: so each process also keeps a
descriptor of its neighbours on the machine, which the kernel marks when they end.
"""

import os
import re
import select
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.distributed import DistError

from mmtune.errors import RankLost

GRACE_S = 5.0
"""How long a process may go on when another has ended, before the watch ends it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another process of the run on this machine."""

    rank: int
    pid: int
    descriptor: int
    """pidfd: readable once the process has ended"""


class RankWatch:
    """While open, sees other ranks end; a lost connection leaves it as RankLost.

    Every rank must make one.

    Args:
        advice: what to tell a user to do about it.
        last_words: called with the message, just before the watch ends a process that did not end
            by itself (it waits for an answer, or writes a checkpoint).
    """

    def __init__(
        self,
        accelerator: Accelerator,
        advice: Callable[[], str],
        last_words: Callable[[str], None],
    ) -> None:
        self.among_others = accelerator.num_processes > 1
        self.rank = accelerator.process_index
        self._advice, self._last_words = advice, last_words
        self._neighbours = _neighbours(accelerator)
        self._lost: dict[int, int] = {}
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        if self._neighbours:
            threading.Thread(target=self._watch, name="ranks", daemon=True).start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._closed.set()
        if error is not None and is_connection_lost(error):
            self._poll(1000)  # a connection is closed a moment before its process has ended
            raise RankLost(self.message(error)) from error

    def lost(self) -> dict[int, int]:
        """Rank -> process id of those on this machine that have ended, the first to end first."""
        self._poll(0)
        return self._lost

    def speaks(self) -> bool:
        """Whether no rank before this one lives on this machine: one of them is to say it all."""
        lost = self.lost()
        return not any(n.rank < self.rank and n.rank not in lost for n in self._neighbours)

    def message(self, error: BaseException | None = None) -> str:
        """What happened and what to do; in short where another rank says it."""
        what = f"another rank cannot be reached any more ({_cause(error)})"
        if self._lost:
            rank, pid = next(iter(self._lost.items()))
            what = f"rank {rank} (process {pid}) has ended, and a step needs every rank"
        return f"{what}. {self._advice()}" if self.speaks() else what

    def _poll(self, timeout_ms: int) -> None:
        asked = {n.descriptor: n for n in self._neighbours if n.rank not in self._lost}
        poll = select.poll()
        for descriptor in asked:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(timeout_ms):
            self._lost.setdefault(asked[descriptor].rank, asked[descriptor].pid)

    def _watch(self) -> None:
        while not self._lost:
            self._poll(500)
            if self._closed.is_set():
                return
        if not self._closed.wait(GRACE_S):
            message = self.message()
            try:
                print(f"[rank {self.rank}] {message}", file=sys.stderr, flush=True)
                self._last_words(message)
            finally:
                os._exit(RankLost.exit_code)


def is_connection_lost(error: BaseException) -> bool:
    """Whether a collective failed because another process is gone, or answers no more. Gloo raises
    a plain RuntimeError that begins with the place in its source; NCCL's is a DistError."""
    return isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and "/gloo/" in str(error)
    )


def _cause(error: BaseException | None) -> str:
    """What a collective said, without the place in its source and general remarks."""
    text = re.sub(r"^\[\S*/gloo/\S*\] ", "", str(error))
    return text.split(". ")[0][:300]


def _neighbours(accelerator: Accelerator) -> tuple[Neighbour, ...]:
    """Every rank must call it. Empty where the system has no descriptors of processes."""
    if accelerator.num_processes == 1:
        return ()
    ours = (_machine(), accelerator.process_index, os.getpid())
    every = gather_object([ours])
    here = [(rank, pid) for machine, rank, pid in every if machine == ours[0] and rank != ours[1]]
    try:  # open until the process ends: the watch may still be asking
        return tuple(Neighbour(rank, pid, os.pidfd_open(pid)) for rank, pid in here)
    except (AttributeError, OSError):  # no Linux, or an old one
        return ()


def _machine() -> str:
    """Where a process id means the same process: the host, and the container on it."""
    namespace = "/proc/self/ns/pid"
    inode = os.stat(namespace).st_ino if os.path.exists(namespace) else 0
    return f"{socket.gethostname()}/{inode}"
