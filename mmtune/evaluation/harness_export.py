"""Questions as tasks that lm-evaluation-harness can run: a folder of rows and task files.

Nothing of that program is needed here. Its files are YAML, of which JSON is a part:

    lm_eval --include_path FOLDER --tasks mmtune_nli --apply_chat_template ...
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtune.evaluation.rank_classification import Question

PREFIX = "mmtune_"
_METRICS = ("acc", "acc_norm", "acc_mutual_info")


def export_task(
    folder: Path, template: str, asked: Sequence[Question], *, target_delimiter: str = " "
) -> str:
    """Write one template's questions; returns the task's name, `mmtune_rte_follows`.

    `target_delimiter` stands between prompt and option where that program applies no chat template.
    Its `acc` ranks by our `sum` without the stop token, `acc_norm` by `per_character`;
    `acc_mutual_info` compares with no prompt at all, our `pmi` with a neutral one. It takes one
    right answer a question, here the first.
    """
    name = PREFIX + template.replace("/", "_")
    rows = [
        {
            "id": one.example_id,
            "query": "\n\n".join(turn.text for turn in one.prompt),
            "choices": list(one.options),
            "gold": min(one.right),
        }
        for one in asked
    ]
    data = folder / f"{name}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    data.write_text("".join(lines), encoding="utf-8")
    _write(
        folder / f"{name}.yaml",
        {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "query",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "target_delimiter": target_delimiter,
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True}
                for metric in _METRICS
            ],
            "metadata": {"version": 1.0},
        },
    )
    return name


def export_groups(folder: Path, groups: Mapping[str, Sequence[str]]) -> None:
    """One group for each name, of the tasks given for it; scores are means over tasks."""
    for group, tasks in groups.items():
        _write(
            folder / f"{PREFIX}{group}.yaml",
            {
                "group": PREFIX + group,
                "task": list(tasks),
                "aggregate_metric_list": [
                    {"metric": metric, "aggregation": "mean", "weight_by_size": False}
                    for metric in _METRICS
                ],
                "metadata": {"version": 1.0},
            },
        )


def _write(path: Path, task: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(task, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
