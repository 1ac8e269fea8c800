"""A mixture as `mmtune preview` shows it: what its law says beside what comes of it."""

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from mmtune.data.mixing import Part
from mmtune.encoding.store import TokenStore
from mmtune.workflows.mixture import OpenedMixture
from mmtune.workflows.terminal import visible

_FAR = 4.0
"""Standard deviations of drawing by chance; no card of a hundred is expected to be farther off."""
_NUMBERS = ("examples", "templates", "passes", "intended", "drawn", "samples", "of tokens")


def show_mixture(mixture: OpenedMixture, store: TokenStore, out: Console) -> None:
    """A row for each card, those of a cluster together and summed up, and the sum of all.

    `drawn` is of the first epoch's draws; `samples` and `of tokens` of those that were encoded (of
    the first window only when streaming).
    """
    count = mixture.rows_per_epoch
    drawn = dict(zip(_names(mixture), mixture.drawing.counts(0, count), strict=True))
    samples, tokens = _encoded(store)
    table = _table(f"{visible(mixture.mixture.name)}: {count:,} draws an epoch")
    parts = sorted(mixture.parts, key=lambda part: part.groups[-1])  # cards keep their order
    clusters = list(dict.fromkeys(part.groups[-1] for part in parts))

    def row(name: str, of: Sequence[Part], style: str | None = None) -> None:
        intended = sum(mixture.shares[part.name] for part in of)
        found = sum(drawn[part.name] for part in of)
        size = sum(part.size for part in of)
        table.add_row(
            name,
            f"{size:,}",
            f"{sum(part.templates for part in of):,}",
            f"{found / size:.2f}",
            f"{intended:.2%}",
            f"{found / count:.2%}{_far_off(intended, found, count)}",
            f"{sum(samples.get(part.name, 0) for part in of):,}",
            f"{sum(tokens.get(part.name, 0) for part in of) / max(1, sum(tokens.values())):.2%}",
            style=style,
        )

    for cluster in clusters:
        mine = [part for part in parts if part.groups[-1] == cluster]
        row(visible(cluster), mine, "bold")
        for part in mine:
            row(f"  {visible(part.name)}", [part])
    row("all", parts, "bold")
    out.print()
    out.print(table)
    if any(_far_off(mixture.shares[name], drawn[name], count) for name in drawn):
        out.print(f"! more than {_FAR:g} standard deviations from what is intended", style="yellow")


def _names(mixture: OpenedMixture) -> list[str]:
    return [part.name for part in mixture.parts]


def _encoded(store: TokenStore) -> tuple[dict[str, int], dict[str, int]]:
    """Samples and tokens by source."""
    numbers, width = store.source_numbers, len(store.sources)
    samples = np.bincount(numbers, minlength=width)
    tokens = np.bincount(numbers, weights=store.lengths, minlength=width)
    pairs = zip(store.sources, samples.tolist(), tokens.tolist(), strict=True)
    found = [(name, int(n), int(size)) for name, n, size in pairs]
    return {name: n for name, n, _ in found}, {name: size for name, _, size in found}


def _far_off(share: float, drawn: int, count: int) -> str:
    """A mark where chance hardly explains the difference."""
    deviation = (share * (1 - share) * count) ** 0.5
    return " !" if abs(drawn - share * count) > _FAR * deviation + 1 else ""


def _table(title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=title, title_justify="left")
    table.add_column("cluster, card", overflow="fold")
    for name in _NUMBERS:
        table.add_column(name, justify="right")
    return table
