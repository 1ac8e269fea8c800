"""Checkpoints written behind the run's back: by one thread, one at a time; no step waits."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from safetensors import SafetensorError

from mmtune.training.checkpoint_files import Snapshot, sorted_checkpoints, write_snapshot


class CheckpointWriter:
    """Writes what it is handed into `parent`. A disk that is full, or a file system that is gone,
    costs that checkpoint and not the run: it is told of, and the good ones stay."""

    def __init__(
        self, parent: Path, tell: Callable[[str], None], written: Callable[[], None]
    ) -> None:
        """`written` is called, in the writing thread, when a checkpoint is on the disk whole."""
        self._parent = parent
        self._tell = tell
        self._written = written
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._last: Future[None] | None = None
        self.failed: dict[int, str] = {}
        """Steps whose checkpoint could not be written, and why."""

    def write(self, snapshot: Snapshot) -> None:
        """Have it written; waits for the one before, so that no more than two are in memory."""
        self.wait()
        self._last = self._thread.submit(self._write, snapshot)

    def wait(self) -> None:
        """Return when nothing is being written any more."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Let what is being written end, whatever else went wrong."""
        self._thread.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_snapshot(self._parent, snapshot)
        except (OSError, SafetensorError) as error:
            self.failed[snapshot.step] = str(error)
            self._tell(
                f"the checkpoint of step {snapshot.step} could not be written ({error}); "
                f"{self._still_there()}, and the run goes on"
            )
            return
        self.failed.clear()
        self._written()

    def _still_there(self) -> str:
        kept = sorted_checkpoints(self._parent)
        return f"{kept[-1].name} stays the newest" if kept else "there is none before it"
