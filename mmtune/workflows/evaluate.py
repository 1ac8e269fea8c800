"""`mmtune evaluate`: a suite in a file, run; its report written as JSON, and a table printed."""

from collections.abc import Sequence
from pathlib import Path

from mmtune.config.load import load_section
from mmtune.config.suite import ZeroShotSuite
from mmtune.workflows import zero_shot


def run(config: Path, overrides: Sequence[str] = ()) -> None:
    """Raises InputError with every fault in the suite, its cards, templates or model."""
    zero_shot.run(load_section(config, overrides, ZeroShotSuite))
