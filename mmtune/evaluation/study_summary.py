"""What a study's answers add up to: accuracy of each arm on held-out clusters, with intervals.

Knows no model and draws nothing. An answer is 1 (right) or 0; an arm's accuracy is the mean over
templates and seeds, then tasks, then clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtune.judging.statistics import Floats, cluster_bootstrap, percentile_interval

RESAMPLES = 2000
ALL = "all held-out clusters"

Results = Mapping[str, Any]
"""The content of a `study.json`; see `workflows/study.py`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and what 95% of the resamples lie between.

    `low` to `high`: other questions, the same models. `wide`: other seeds too (order of clusters,
    draws of examples); of few seeds it is a lower bound of what other seeds would do.
    """

    mean: float
    low: float
    high: float
    wide: tuple[float, float]
    by_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm over its seeds; `held_out` by cluster, and all of them together under `ALL`."""

    name: str
    clusters: int
    """That it was tuned on; 0 for the untuned model"""
    held_out: Mapping[str, Estimate]
    trained: float | None
    """Accuracy on new rows of the clusters that it was tuned on; for the untuned model, of all"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm's accuracy less another's, on the same questions."""

    of: str
    against: str
    held_out: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class StudySummary:
    """All of a study."""

    arms: tuple[ArmSummary, ...]
    differences: tuple[Difference, ...]
    chance: Mapping[str, float]
    """Of a blind guess, by held-out cluster"""
    seeds: tuple[int, ...]
    questions: int
    """That each model was asked in the held-out clusters, templates counted"""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Accuracy on one cluster by arm and seed, as it is and as the bootstrap draws it."""

    means: Mapping[str, Floats]
    """[seeds] of an arm"""
    draws: Mapping[str, Floats]
    """[resamples, seeds]"""


def summarise(results: Results, *, seed: int = 0) -> StudySummary:
    """Arms in the order of the file; seeds that some arm lacks are left out.

    Raises ValueError where no seed is complete.
    """
    runs = _runs(results)
    base_tasks = next(iter(next(iter(runs.values())).values()))["tasks"]
    held_out = {name: task for name, task in base_tasks.items() if task["held_out"]}
    names = tuple(dict.fromkeys(task["cluster"] for task in held_out.values()))
    drawn = {
        cluster: _drawn(
            runs, [t for t, task in held_out.items() if task["cluster"] == cluster], seed
        )
        for cluster in names
    }
    drawn[ALL] = _together(list(drawn.values()))
    picks = _picks(max(len(own) for own in runs.values()), seed)
    chance = {
        cluster: float(
            np.mean([task["chance"] for task in held_out.values() if task["cluster"] == cluster])
        )
        for cluster in names
    }
    return StudySummary(
        arms=tuple(_arm(name, own, drawn, picks) for name, own in runs.items()),
        differences=tuple(_differences(list(runs), drawn, picks)),
        chance={**chance, ALL: float(np.mean(list(chance.values())))},
        seeds=tuple(sorted({seed for own in runs.values() for seed in own})),
        questions=sum(len(task["subjects"]) * len(task["right"]) for task in held_out.values()),
    )


def _runs(results: Results) -> dict[str, dict[int, Any]]:
    """Arm -> seed -> its run; of the seeds that every tuned arm has."""
    runs: dict[str, dict[int, Any]] = {}
    for run in results["arms"]:
        runs.setdefault(run["name"], {})[run["seed"]] = run
    tuned = [set(own) for own in runs.values() if any(run["clusters"] for run in own.values())]
    whole = set.intersection(*tuned) if tuned else set()
    if not whole or len(runs) == len(tuned):
        raise ValueError("no seed has been run in every arm, or the untuned model is missing")
    return {
        name: {s: run for s, run in sorted(own.items()) if s in whole or not run["clusters"]}
        for name, own in runs.items()
    }


def _drawn(runs: Mapping[str, Mapping[int, Any]], tasks: Sequence[str], seed: int) -> _Drawn:
    """The mean over a cluster's tasks, each task's subjects drawn with replacement."""
    columns = [(name, run) for name, own in runs.items() for run in own.values()]
    means, draws = [], []
    for number, task in enumerate(tasks):
        sums = np.stack([_subject_sums(run["tasks"][task]) for _, run in columns], axis=1)
        totals = sums.sum(0)
        means.append(totals[:, 0] / totals[:, 1])
        draws.append(cluster_bootstrap(sums, seed=1000 * seed + number, resamples=RESAMPLES))
    mean, drawn = np.mean(means, axis=0), np.mean(draws, axis=0)
    places = {name: [n for n, (arm, _) in enumerate(columns) if arm == name] for name in runs}
    return _Drawn(
        {name: mean[own] for name, own in places.items()},
        {name: drawn[:, own] for name, own in places.items()},
    )


def _subject_sums(task: Mapping[str, Any]) -> Floats:
    """[subjects, (right answers, answers)], all templates together."""
    numbers = {subject: n for n, subject in enumerate(dict.fromkeys(task["subjects"]))}
    rows = [numbers[subject] for subject in task["subjects"]]
    sums = np.zeros((len(numbers), 2))
    for right in task["right"].values():
        np.add.at(sums[:, 0], rows, np.asarray(right, dtype=np.float64))
        np.add.at(sums[:, 1], rows, 1.0)
    return sums


def _together(clusters: Sequence[_Drawn]) -> _Drawn:
    names = clusters[0].means
    return _Drawn(
        {name: np.mean([one.means[name] for one in clusters], axis=0) for name in names},
        {name: np.mean([one.draws[name] for one in clusters], axis=0) for name in names},
    )


def _picks(seeds: int, seed: int) -> Floats:
    """How much each seed counts in each resample: [resamples, seeds], drawn with replacement."""
    return np.random.default_rng(seed).multinomial(seeds, [1 / seeds] * seeds, RESAMPLES) / seeds


def _arm(
    name: str, own: Mapping[int, Any], drawn: Mapping[str, _Drawn], picks: Floats
) -> ArmSummary:
    return ArmSummary(
        name=name,
        clusters=max(len(run["clusters"]) for run in own.values()),
        held_out={
            c: _estimate(one.means[name], one.draws[name], picks) for c, one in drawn.items()
        },
        trained=_trained(list(own.values())),
    )


def _differences(
    names: Sequence[str], drawn: Mapping[str, _Drawn], picks: Floats
) -> list[Difference]:
    """Every tuned arm against the untuned one, and those with templates against that without."""
    pairs = [(name, names[0]) for name in names[1:]]
    if "no_templates" in names:
        pairs += [(name, "no_templates") for name in names if name.startswith("templates_")]
    return [
        Difference(
            of,
            against,
            {
                cluster: _estimate(
                    one.means[of] - one.means[against], one.draws[of] - one.draws[against], picks
                )
                for cluster, one in drawn.items()
            },
        )
        for of, against in pairs
    ]


def _estimate(means: Floats, draws: Floats, picks: Floats) -> Estimate:
    """`means` [seeds], `draws` [resamples, seeds]; one seed stands for itself."""
    low, high = percentile_interval(draws.mean(1))
    weighed = (draws * picks).sum(1) if draws.shape[1] > 1 else draws[:, 0]
    return Estimate(
        float(means.mean()), low, high, percentile_interval(weighed), tuple(means.tolist())
    )


def _trained(own: Sequence[Mapping[str, Any]]) -> float | None:
    scores = [
        np.mean([np.mean(list(task["right"].values())) for task in _of_its_clusters(run)])
        for run in own
        if _of_its_clusters(run)
    ]
    return float(np.mean(scores)) if scores else None


def _of_its_clusters(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        task
        for task in run["tasks"].values()
        if not task["held_out"] and (not run["clusters"] or task["cluster"] in run["clusters"])
    ]
