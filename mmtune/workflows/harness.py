"""A suite's ranked tasks written as tasks for lm-evaluation-harness; no model is read."""

from collections import defaultdict
from pathlib import Path

from mmtune.config.suite import ZeroShotSuite
from mmtune.evaluation.harness_export import export_groups, export_task
from mmtune.evaluation.rank_classification import Question
from mmtune.workflows.terminal import console
from mmtune.workflows.zero_shot import read_tasks
from mmtune.workflows.zero_shot_tasks import questions


def run(suite: ZeroShotSuite, folder: str) -> None:
    """Write every template of every task that has choices, grouped by task and by cluster.

    Raises InputError with every fault in the cards, templates or rows.
    """
    clusters: dict[str, list[str]] = defaultdict(list)
    groups: dict[str, list[str]] = {}
    out, screen = Path(folder), console()
    for task in read_tasks(suite):
        name = task.card.name
        if not task.ranks:
            screen.print(f"left out: {name} has no choices to rank")
            continue
        groups[name] = []
        for template in task.templates:
            found = list(questions(task, template, task.test, suite))
            asked = [one for one in found if isinstance(one, Question)]
            if len(asked) < len(found):
                screen.print(f"{template.name}: {len(found) - len(asked)} examples left out")
            if asked:
                groups[name].append(export_task(out, template.name, asked))
        clusters[f"cluster_{task.card.cluster}"].append(f"mmtune_{name}")
    export_groups(out, groups | clusters)
    screen.print(f"written: {out} (lm_eval --include_path {out} --tasks mmtune_<task>)")
