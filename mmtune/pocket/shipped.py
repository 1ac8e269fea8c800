"""Where the embedded models' weights lie."""

from pathlib import Path

from mmtune.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"


def weights_folder(name: str) -> Path:
    """The folder of `pocket:NAME`.

    Raises:
        ModelError: no such embedded model.
    """
    folder = WEIGHTS / name
    if not (folder / "config.json").is_file():
        known = sorted(path.parent.name for path in WEIGHTS.glob("*/config.json"))
        raise ModelError(
            f"there is no embedded model 'pocket:{name}'; "
            f"there {'is' if len(known) == 1 else 'are'} {', '.join(known) or 'none yet'}"
        )
    return folder
