"""A report's page: headings, words, a table and a figure, as one HTML file and in the terminal."""

import io
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}td,th{padding:.25rem .7rem;
text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}
img{max-width:100%}caption{text-align:left;font-weight:600}"""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are shown; the first column names the row."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_text(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if n == 0 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.caption, *lines])

    def as_html(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
            for row in self.rows
        )
        return (
            f"<table><caption>{escape(self.caption)}</caption>\n<tr>{head}</tr>\n{body}</table>\n"
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What a report says; `draw` makes its figure."""

    title: str
    words: Sequence[str]
    tables: Sequence[Table]
    draw: Callable[[], "Figure"]

    def as_text(self) -> str:
        tables = "\n\n".join(table.as_text() for table in self.tables)
        return "\n\n".join([self.title, tables, "\n".join(self.words)])


def write_page(page: Page, html: Path, png: Path) -> None:
    """The figure is in the page too, so that the page can be sent alone."""
    picture = io.BytesIO()
    page.draw().savefig(picture, format="png", dpi=110)
    png.write_bytes(picture.getvalue())
    shown = b64encode(picture.getvalue()).decode()
    words = "".join(f"<p>{escape(text)}</p>\n" for text in page.words)
    html.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(page.title)}'
        f"</title>\n<style>{_STYLE}</style>\n<h1>{escape(page.title)}</h1>\n"
        f'<img alt="figure" src="data:image/png;base64,{shown}">\n'
        f"{''.join(table.as_html() for table in page.tables)}{words}</html>\n",
        encoding="utf-8",
    )


def percent(value: float) -> str:
    """`0.473` -> `47.3`."""
    return f"{100 * value:.1f}"


def span(low: float, high: float, *, sign: bool = False) -> str:
    """`47.3 to 51.0`, with signs for differences."""
    return f"{100 * low:{'+' if sign else ''}.1f} to {100 * high:{'+' if sign else ''}.1f}"
