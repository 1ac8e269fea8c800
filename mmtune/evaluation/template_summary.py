"""What a task's scores under several templates come to: per template, over templates, the template
that was best on dev, and clusters of tasks; intervals by drawing whole rows of the data set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from mmtune.evaluation.rank_classification import CLOSE_NATS, SCORES, Ranked
from mmtune.evaluation.text_metrics import TEXT_METRICS
from mmtune.judging.statistics import (
    Finish,
    Floats,
    cluster_bootstrap,
    percentile_interval,
    ratio,
    wilson_interval,
)

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TemplateMarks:
    """All that was scored under one template."""

    template: str
    groups: tuple[str, ...]
    """Of each example: those of one group are drawn together"""
    parts: Mapping[str, Floats]
    """By measure, [examples, parts]: what its `finish` takes the sums of"""
    notes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Counts to be reported beside a measure: ties, close calls"""


@dataclass(frozen=True, slots=True)
class TaskMarks:
    """One task's."""

    task: str
    cluster: str
    kind: str
    """`rank` or `generate`"""
    headline: str
    """The measure that stands for the task in its cluster"""
    test: Sequence[TemplateMarks]
    dev: Sequence[TemplateMarks] = ()
    chance: float | None = None
    """Of a blind guess: the mean over examples of right options / options"""
    majority: float | None = None
    """Of the one answer that is right most often, where all examples have the same choices"""
    dropped: Mapping[str, int] = field(default_factory=dict)


def rank_marks(template: str, ranked: Sequence[Ranked]) -> TemplateMarks:
    """Right or wrong by each of the four scores, with ties and close calls counted."""
    parts: dict[str, Floats] = {
        name: np.array([[one.is_right(name), 1] for one in ranked], np.float64).reshape(-1, 2)
        for name in SCORES
    }
    notes = {
        str(name): {
            "ties": sum(one.lead(name) == 0 for one in ranked),
            "close": sum(one.lead(name) < CLOSE_NATS for one in ranked),
        }
        for name in SCORES
    }
    return TemplateMarks(template, tuple(one.group for one in ranked), parts, notes)


def text_marks(
    template: str,
    groups: Sequence[str],
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
) -> TemplateMarks:
    """Every measure of `TEXT_METRICS` for written answers."""
    pairs = list(zip(answers, references, strict=True))
    parts = {
        name: np.array([metric.parts(*pair) for pair in pairs], np.float64)
        for name, metric in TEXT_METRICS.items()
    }
    return TemplateMarks(template, tuple(groups), parts)


def zero_shot_report(tasks: Sequence[TaskMarks], *, seed: int, resamples: int = 2000) -> Report:
    """`{"tasks": {name: ...}, "clusters": {name: ...}}`; scores are 0 to 1, intervals 95%.

    A task's score is the mean over its templates (FLAN, Wei et al. 2021, section 3; T0 reports the
    median), a cluster's the mean over its tasks. `best_dev_template` is the one that was best on
    dev, with its score on test.
    """
    draws = {
        task.task: {name: _draws(task, name, seed, resamples) for name in measures(task)}
        for task in tasks
    }
    clusters = dict.fromkeys(task.cluster for task in tasks)
    return {
        "tasks": {task.task: _task_report(task, draws[task.task], seed) for task in tasks},
        "clusters": {
            cluster: _cluster_report([task for task in tasks if task.cluster == cluster], draws)
            for cluster in clusters
        },
    }


def measures(task: TaskMarks) -> tuple[str, ...]:
    """Their names; none where nothing was scored."""
    scored = _scored(task.test)
    return tuple(scored[0].parts) if scored else ()


def _scored(marks: Iterable[TemplateMarks]) -> list[TemplateMarks]:
    return [one for one in marks if one.groups]


def _finish(measure: str) -> Finish:
    return TEXT_METRICS[measure].finish if measure in TEXT_METRICS else ratio


def _score(marks: TemplateMarks, measure: str) -> float:
    return float(_finish(measure)(marks.parts[measure].sum(0)))


def _draws(task: TaskMarks, measure: str, seed: int, resamples: int) -> Floats:
    """[resamples, templates]; an example is drawn, or not, for all templates at once."""
    marks = _scored(task.test)
    groups = {g: n for n, g in enumerate(dict.fromkeys(g for one in marks for g in one.groups))}
    width = marks[0].parts[measure].shape[1]
    sums = np.zeros((len(groups), len(marks), width))
    for column, one in enumerate(marks):
        np.add.at(sums[:, column], [groups[group] for group in one.groups], one.parts[measure])
    own_seed = crc32(f"{seed}/{task.task}".encode())  # tasks are drawn apart, measures together
    return cluster_bootstrap(sums, _finish(measure), own_seed, resamples=resamples)


def _task_report(task: TaskMarks, draws: Mapping[str, Floats], seed: int) -> Report:
    return {
        "cluster": task.cluster,
        "kind": task.kind,
        "headline": task.headline,
        "examples": max((len(one.groups) for one in task.test), default=0),
        "chance": task.chance,
        "majority": task.majority,
        "dropped": dict(task.dropped),
        "templates": {
            one.template: _template_report(one, {k: d[:, n] for k, d in draws.items()})
            for n, one in enumerate(_scored(task.test))
        },
        "unscored_templates": [one.template for one in task.test if not one.groups],
        "over_templates": {name: _over_templates(task, name, draws[name]) for name in draws},
        "best_dev_template": {name: _best_on_dev(task, name, draws[name]) for name in draws},
    }


def _template_report(marks: TemplateMarks, draws: Mapping[str, Floats]) -> Report:
    report: Report = {"n": len(marks.groups)}
    for name, each in draws.items():
        low, high = _interval(marks, name, each)
        report[name] = {"score": _score(marks, name), "low": low, "high": high}
        report[name] |= marks.notes.get(name, {})
    return report


def _interval(marks: TemplateMarks, measure: str, draws: Floats) -> tuple[float, float]:
    """Wilson's where examples are independent and right or wrong, else the bootstrap's."""
    values = marks.parts[measure]
    independent = len(set(marks.groups)) == len(marks.groups)
    if independent and values.shape[1] == 2 and set(values[:, 0].tolist()) <= {0.0, 1.0}:
        return wilson_interval(int(values[:, 0].sum()), len(values))
    return _percentiles(draws)


def _percentiles(draws: Floats) -> tuple[float, float]:
    met = draws[np.isfinite(draws)]
    return percentile_interval(met) if len(met) else (0.0, 1.0)


def _over_templates(task: TaskMarks, measure: str, draws: Floats) -> Report:
    scores = [_score(one, measure) for one in _scored(task.test)]
    low, high = _percentiles(draws.mean(1))
    quarter, median, three = np.quantile(scores, [0.25, 0.5, 0.75]).tolist()
    return {
        "templates": len(scores),
        "mean": float(np.mean(scores)),
        "low": low,
        "high": high,
        "median": median,
        "iqr": [quarter, three],
        "worst": min(scores),
        "best": max(scores),
    }


def _best_on_dev(task: TaskMarks, measure: str, draws: Floats) -> Report | None:
    """The choice is made on dev alone; its interval is that of the chosen template on test."""
    dev = {one.template: _score(one, measure) for one in _scored(task.dev)}
    tested = _scored(task.test)
    known = [n for n, one in enumerate(tested) if one.template in dev]
    if not known:
        return None
    best = max(known, key=lambda n: dev[tested[n].template])
    low, high = _interval(tested[best], measure, draws[:, best])
    name = tested[best].template
    score = _score(tested[best], measure)
    return {"template": name, "dev": dev[name], "test": score, "low": low, "high": high}


def _cluster_report(
    tasks: Sequence[TaskMarks], draws: Mapping[str, Mapping[str, Floats]]
) -> Report:
    scored = [task for task in tasks if measures(task)]
    shared = [name for name in SCORES if scored and all(task.kind == "rank" for task in scored)]
    chances = [task.chance for task in scored]
    return {
        "tasks": [task.task for task in scored],
        "unscored_tasks": [task.task for task in tasks if not measures(task)],
        "chance": float(np.mean(chances)) if scored and None not in chances else None,  # type: ignore[arg-type]
        "headline": _mean_of_tasks(scored, draws, lambda task: task.headline),
        **{name: _mean_of_tasks(scored, draws, lambda task, name=name: name) for name in shared},  # type: ignore[misc]
    }


def _mean_of_tasks(
    tasks: Sequence[TaskMarks],
    draws: Mapping[str, Mapping[str, Floats]],
    measure: Callable[[TaskMarks], str],
) -> Report | None:
    if not tasks:
        return None
    means = [np.mean([_score(one, measure(t)) for one in _scored(t.test)]) for t in tasks]
    drawn = np.mean([draws[t.task][measure(t)].mean(1) for t in tasks], axis=0)
    low, high = _percentiles(drawn)
    return {"mean": float(np.mean(means)), "low": low, "high": high}
