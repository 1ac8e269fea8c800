"""What tuning on some clusters of tasks does to clusters never seen: tune, ask, report.

python eval/flan_study.py eval/suites/flan_study.yaml out=runs/flan_study
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of a clone that is not installed

from mmtune.cli import through_door


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("config", type=Path, help="a study (YAML)")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_args()
    return through_door(lambda: _run(given.config, given.overrides))


def _run(config: Path, overrides: list[str]) -> None:
    from mmtune.config.load import load_section
    from mmtune.config.study import FlanStudy
    from mmtune.workflows import report, study

    report.run(study.run(load_section(config, overrides, FlanStudy)))


if __name__ == "__main__":
    sys.exit(main())
