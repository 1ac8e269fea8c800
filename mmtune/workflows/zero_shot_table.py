"""A zero-shot report as a table to read in a terminal."""

from typing import Any

_WIDTHS = (28, 9, 6, 7, 7, 17, 7, 15, 22)
_HEADS = (
    "cluster / task",
    "score",
    "n",
    "tmpl.",
    "chance",
    "mean  95% interval",
    "median",
    "IQR",
    "best on dev -> test",
)


def table(report: dict[str, Any]) -> str:
    """Clusters, and under each its tasks by their headline score, in percent."""
    rows = [_line(_HEADS)]
    for name, cluster in report["clusters"].items():
        rows.append(
            _line((name, "", "", "", _percent(cluster["chance"]), _mean(cluster["headline"])))
        )
        for task in cluster["tasks"]:
            rows.append(_line(_task_cells(task, report["tasks"][task])))
        for task in cluster["unscored_tasks"]:
            rows.append(_line((f"  {task}", "nothing could be scored")))
    left_out = {
        task: sum(found["dropped"].values())
        for task, found in report["tasks"].items()
        if found["dropped"]
    }
    rows += [f"left out: {task} {n} (reasons in the report)" for task, n in left_out.items()]
    return "\n".join(rows)


def _task_cells(name: str, task: dict[str, Any]) -> tuple[str, ...]:
    headline = task["headline"]
    over, best = task["over_templates"][headline], task["best_dev_template"][headline]
    chosen = ""
    if best:
        chosen = f"{best['template'].partition('/')[2]} {_percent(best['test'])}"
    return (
        f"  {name}",
        headline,
        str(task["examples"]),
        str(over["templates"]),
        _percent(task["chance"]),
        _mean(over),
        _percent(over["median"]),
        f"{_percent(over['iqr'][0])} to {_percent(over['iqr'][1])}",
        chosen,
    )


def _mean(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{_percent(found['mean'])}  {_percent(found['low'])}-{_percent(found['high'])}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _line(cells: tuple[str, ...]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return " ".join(padded).rstrip()
