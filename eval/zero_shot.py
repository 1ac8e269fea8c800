"""Zero-shot evaluation of a model on cards: rank classification and free text, a JSON report out.

    python eval/zero_shot.py --model runs/lima/final --tasks rte,sst2 --out report.json \\
        rte.path=rows/rte.jsonl
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of a clone that is not installed

from mmtune.cli import through_door


def main() -> int:
    given = _parser().parse_args()
    return through_door(lambda: _evaluate(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Ask a model every template of some tasks: options are ranked by likelihood "
        "(sum, per token, per character, PMI), free text is scored by EM, F1, ROUGE and BLEU.",
        epilog="key=value are keys of cards, such as rte.path=rows.jsonl",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", required=True, help="a model's or a run's folder, a hub id, or pocket:NAME")
    add("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    add("--cards", help="folder of cards, or one card (default: datasets_cfg/cards)")
    add("--templates", help="folder of template files (default: datasets_cfg/templates)")
    add("--tasks", type=_names, help="names of cards, commas between; default: all, or --clusters")
    add("--clusters", type=_names, help="all cards of these clusters, commas between")
    add("--split", choices=["train", "dev", "test"], help="to score (default: test)")
    add("--dev-split", choices=["train", "dev", "test", "none"], help="to choose a template on")
    add("--limit", type=int, help="examples of a task, drawn by seed (default: 0, all)")
    add("--dev-limit", type=int, help="the same of the dev split (default: 200)")
    add("--options", choices=["with", "without", "shuffled", "lettered", "varied"])
    add("--few-shot", type=int, help="solved examples before each question (default: 0)")
    add("--score", choices=["sum", "per_token", "per_character", "pmi"], help="for the clusters")
    add("--stop-token", choices=["counted", "left_out"], help="in likelihoods (default: counted)")
    add("--max-new-tokens", type=int, help="of an answer in free text (default: 64)")
    add("--batch-tokens", type=int, help="packed together; changes no result (default: 262144)")
    add("--seed", type=int, help="of --limit, few-shot examples and intervals (default: 0)")
    add("--out", help="the report (default: zero_shot.json)")
    add("--harness", metavar="FOLDER", help="write tasks for lm-evaluation-harness, score nothing")
    add("card_overrides", nargs="*", metavar="key=value")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _evaluate(given: argparse.Namespace) -> None:
    from mmtune.config.suite import zero_shot_suite
    from mmtune.workflows import harness, zero_shot

    values = {key: value for key, value in vars(given).items() if value is not None}
    folder = values.pop("harness", None)
    model = {"family": "text", "path": values.pop("model"), "dtype": values.pop("dtype")}
    suite = zero_shot_suite(values | {"model": model})
    if folder:
        harness.run(suite, folder)
    else:
        zero_shot.run(suite)


if __name__ == "__main__":
    sys.exit(main())
