"""The tree of errors, each with the exit code of the door that meets it.

MmtuneError
  InputError            2   the user's input is wrong: what, where, what to do
    ConfigError             recipe, card, override
    DataError               rows, files, pictures
    FormatError             tokenizer or chat template
    ModelError              weights, layout, attention backend
    CheckpointError         a checkpoint that cannot be used
  TrainingDiverged      3   the loss or the gradients stopped being numbers, or leapt up to stay
  StorageError          1   a result could not be written: the disk is full, or gone
  RankLost              1   another process of the run has ended or cannot be reached
  Interrupted          75   SIGTERM, a checkpoint was written (130 for Ctrl-C)
"""

from collections.abc import Sequence


class MmtuneError(Exception):
    exit_code = 1


class InputError(MmtuneError):
    """One or more faults in what the user gave; each fault is one message of its own."""

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults: Sequence[str] = faults
        super().__init__("\n".join(faults))


class ConfigError(InputError):
    pass


class DataError(InputError):
    pass


class FormatError(InputError):
    pass


class ModelError(InputError):
    pass


class CheckpointError(InputError):
    pass


class TrainingDiverged(MmtuneError):
    exit_code = 3


class StorageError(MmtuneError):
    pass


class RankLost(MmtuneError):
    pass


class Interrupted(MmtuneError):
    """The run stopped on a signal after writing a checkpoint; run again to go on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
