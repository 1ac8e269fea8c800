"""The page of a zero-shot evaluation: every task's score with its interval, cluster by cluster."""

from typing import TYPE_CHECKING, Any

from mmtune.workflows.report_page import Page, Table, percent, span

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scored = tuple[str, dict[str, Any], float | None]
"""Name, `{"mean", "low", "high"}`, chance"""


def zero_shot_page(report: dict[str, Any]) -> Page:
    """Tasks by the mean over their templates; clusters by the mean over their tasks."""
    lines = _lines(report)
    rows = [
        (
            *(name, percent(found["mean"]), span(found["low"], found["high"])),
            "" if chance is None else percent(chance),
        )
        for name, found, chance in lines
    ]
    settings = report["settings"]
    table = Table("Scores in percent", ("", "mean", "95%", "blind guess"), rows)
    words = [
        f"Model {settings['model']['path']}; split {settings['split']}; options "
        f"{settings['options']}; ranked by {settings['score']}.",
        "A task's score is the mean over its templates, a cluster's the mean over its tasks. "
        "Intervals draw other examples, all templates of one together.",
    ]
    return Page("Zero-shot evaluation", words, [table], lambda: _figure(lines))


def _lines(report: dict[str, Any]) -> list[Scored]:
    lines: list[Scored] = []
    for name, cluster in report["clusters"].items():
        if cluster["headline"]:
            lines.append((name, cluster["headline"], cluster["chance"]))
        for task in cluster["tasks"]:
            found = report["tasks"][task]
            lines.append((f"  {task}", found["over_templates"][found["headline"]], found["chance"]))
    return lines


def _figure(lines: list[Scored]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.25 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for height, (name, found, chance) in enumerate(reversed(lines)):
        color = "C0" if name.startswith(" ") else "black"
        ends = [100 * found["low"], 100 * found["high"]]
        axes.plot(ends, [height, height], color=color, lw=2)
        axes.plot([100 * found["mean"]], [height], "o", color=color, ms=5)
        if chance is not None:
            axes.plot([100 * chance], [height], "|", color="gray", ms=10)
    axes.set_yticks(range(len(lines)), [name.strip() for name, *_ in reversed(lines)])
    axes.set_xlabel("percent (bar: 95% interval; tick: blind guess)")
    axes.grid(axis="x", alpha=0.25)
    return figure
