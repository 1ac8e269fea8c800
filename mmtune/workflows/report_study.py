"""The page of a study: what the arms scored on held-out clusters, and which differences hold."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmtune.evaluation.study_summary import ALL, ArmSummary, Difference, Estimate, StudySummary
from mmtune.workflows.report_page import Page, Table, percent, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def study_page(summary: StudySummary, settings: Mapping[str, Any]) -> Page:
    """Nothing is left out: arms and differences as they are, whichever way they point."""
    clusters = [cluster for cluster in summary.chance if cluster != ALL]
    tables = [
        _accuracies(summary, ALL),
        *(_accuracies(summary, cluster) for cluster in clusters),
        _difference_table(summary.differences, [ALL, *clusters]),
    ]
    words = [*_found(summary), *_how(summary, settings)]
    title = "Tuning on some clusters of tasks, asking others"
    return Page(title, words, tables, lambda: _figure(summary, [ALL, *clusters]))


def arm_words(name: str) -> str:
    """`templates_2` -> `templates, 2 clusters`."""
    if name.startswith("templates_"):
        count = name.removeprefix("templates_")
        return f"templates, {count} cluster{'s' if count != '1' else ''}"
    return {"base": "untuned", "no_templates": "no templates, all clusters"}.get(name, name)


def _accuracies(summary: StudySummary, cluster: str) -> Table:
    rows = []
    for arm in summary.arms:
        found = arm.held_out[cluster]
        seeds = ", ".join(map(percent, found.by_seed)) if len(found.by_seed) > 1 else ""
        trained = "" if arm.trained is None else percent(arm.trained)
        rows.append(
            (
                *(arm_words(arm.name), percent(found.mean), span(found.low, found.high)),
                *(span(*found.wide) if seeds else "", seeds, trained),
            )
        )
    return Table(
        f"{cluster}: accuracy in percent; a blind guess has {percent(summary.chance[cluster])}",
        ("arm", "mean", "95%, questions", "95%, and seeds", "by seed", "own clusters"),
        rows,
    )


def _difference_table(differences: Sequence[Difference], clusters: Sequence[str]) -> Table:
    rows = [
        (
            f"{arm_words(one.of)} less {arm_words(one.against)}",
            *(_signed(one.held_out[cluster]) for cluster in clusters),
        )
        for one in differences
    ]
    return Table("Differences in points (95%, questions and seeds)", ("", *clusters), rows)


def _signed(found: Estimate) -> str:
    return f"{100 * found.mean:+.1f} ({span(*found.wide, sign=True)})"


def _found(summary: StudySummary) -> list[str]:
    """Each difference in all clusters together, put in words by its wide interval alone."""
    lines = []
    for one in summary.differences:
        found = one.held_out[ALL]
        low, high = found.wide
        verdict = "cannot be told from zero"
        if low > 0:
            verdict = "is above zero"
        elif high < 0:
            verdict = "is below zero"
        lines.append(
            f"{arm_words(one.of)} less {arm_words(one.against)}: {_signed(found)} points; "
            f"it {verdict} by this interval."
        )
    return lines


def _how(summary: StudySummary, settings: Mapping[str, Any]) -> list[str]:
    return [
        f"Each model answered {summary.questions:,} questions of the held-out clusters "
        f"{', '.join(settings['held_out'])} by the likeliest option, in the first "
        f"{settings['templates_asked']} templates of each task, options shown.",
        f"Seeds {', '.join(map(str, summary.seeds))}; each adds the training clusters in an order "
        f"of its own. All arms have {settings['examples']:,} examples an epoch and as many steps.",
        "The first interval draws other questions (all that is asked of one subject together) to "
        "the same models; the second draws seeds too, and with so few of them it is rather too "
        "narrow. Intervals of differences are paired. They are not corrected for their number.",
        '"Own clusters": new rows of the clusters that the arm was tuned on (untuned: of all that '
        "are not held out), with no interval; they show whether tuning took.",
    ]


def _figure(summary: StudySummary, clusters: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(clusters), 3.8), layout="constrained")
    every = figure.subplots(1, len(clusters), sharey=True, squeeze=False)[0]
    for axes, cluster in zip(every, clusters, strict=True):
        _panel(axes, summary, cluster)
    every[0].set_ylabel("accuracy, %")
    every[0].legend(fontsize=8, loc="best")
    return figure


def _panel(axes: "Axes", summary: StudySummary, cluster: str) -> None:
    curve = [arm for arm in summary.arms if arm.name == "base" or arm.name.startswith("templates_")]
    _series(axes, curve, cluster, "o-", "C0", "with templates (0: untuned)")
    bare = [arm for arm in summary.arms if arm.name == "no_templates"]
    _series(axes, bare, cluster, "s", "C1", "no templates")
    axes.axhline(100 * summary.chance[cluster], color="gray", ls=":", lw=1, label="blind guess")
    axes.set_title(cluster.removeprefix("pocket_"), fontsize=10)
    axes.set_xlabel("clusters tuned on")
    axes.set_xticks(sorted({arm.clusters for arm in summary.arms}))
    axes.grid(alpha=0.25)


def _series(
    axes: "Axes", arms: Sequence[ArmSummary], cluster: str, mark: str, color: str, label: str
) -> None:
    """Means with the wide interval, and a dot for each seed."""
    shift = 0.12 if mark == "s" else 0.0
    found = [(arm.clusters + shift, arm.held_out[cluster]) for arm in arms]
    means = [100 * one.mean for _, one in found]
    spans = [
        [100 * max(0.0, one.mean - one.wide[0]) for _, one in found],
        [100 * max(0.0, one.wide[1] - one.mean) for _, one in found],
    ]
    places = [x for x, _ in found]
    axes.errorbar(places, means, spans, fmt=mark, color=color, capsize=3, ms=5, label=label)
    for x, one in found:
        if len(one.by_seed) > 1:
            each = [100 * share for share in one.by_seed]
            axes.scatter([x] * len(each), each, s=9, color=color, alpha=0.4, zorder=1)
