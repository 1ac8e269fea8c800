"""Small mixtures for tests: shipped cards over rows that are written here, and recipes on them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tiny_runs import make_model, write_recipe

from mmtune.config.mixtures import load_mixture
from mmtune.types import Dropped, Example
from mmtune.workflows.mixture import OpenedMixture
from mmtune.workflows.reading_cards import Places, open_mixture

Row = dict[str, Any]
SHIPPED = Path(__file__).resolve().parent.parent / "datasets_cfg"

ROWS: dict[str, list[Row]] = {
    "rte": [
        {"sentence1": f"It is {n}.", "sentence2": f"So {n}?", "label": n % 2}
        for n in range(60)
    ],
    "mrpc": [{"sentence1": f"One {n}", "sentence2": f"or {n}", "label": n % 2} for n in range(40)],
    "sst2": [{"sentence": f"A film {n}.", "label": n % 2} for n in range(230)],
    "gsm8k": [
        {"question": f"{n}+1?", "answer": f"Add one to {n}.\n#### {n + 1}"} for n in range(240)
    ],
    "snli": [{"premise": f"P {n}", "hypothesis": f"H {n}", "label": n % 3} for n in range(9)],
    "esnli": [
        {"premise": f"P {n}", "hypothesis": f"H {n}", "label": n % 3, "explanation_1": f"E {n}"}
        for n in range(9)
    ],
    "cosmos_qa": [
        {"context": f"C {n}", "question": f"Q {n}?", "label": n % 4}
        | {f"answer{i}": f"a{i} {n}" for i in range(4)}
        for n in range(230)
    ],
}  # fmt: skip

BAD: list[Any] = [
    {"sentence": "fine", "label": 7},
    {"sentence": "", "label": 1},
    {"sentence": "hidden", "label": -1},
    "not an object",
]

FORMATS = {"few_shot": 0.3, "without_options": 0.4, "reasoned": 0.5, "inverted": 0.3}
"""A bit of everything."""


class World:
    """Rows of shipped cards, a model, and recipes over mixtures of them, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = make_model(folder / "model", max_position_embeddings=2048)
        self.rows: dict[str, str] = {}
        self.cards = folder / "cards"  # a few of those that ship
        self.cards.mkdir()
        for name in (*ROWS, "imdb", "newsroom"):
            shutil.copy(SHIPPED / "cards" / f"{name}.yaml", self.cards)

    def write(self, card: str, rows: list[Row] | None = None) -> Path:
        path = self.folder / "rows" / f"{card}.jsonl"
        path.parent.mkdir(exist_ok=True)
        lines = ROWS[card] if rows is None else rows
        path.write_text("".join(json.dumps(row) + "\n" for row in lines))
        self.rows[card] = str(path)
        return path

    def mixture(self, name: str = "small", **keys: Any) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "cards": list(self.rows)} | keys))
        return path

    def recipe(self, name: str, mixture: Path, **changes: Any) -> Path:
        settings: dict[str, Any] = {
            "data": {
                "mixture": str(mixture),
                "cards": str(self.cards),
                "templates": str(SHIPPED / "templates"),
                "card_paths": self.rows,
                "max_tokens": 2048,
            },
            "train__batching": {"kind": "packed", "row_tokens": 2048},
            "train__batch": {"kind": "examples", "count": 8},
            "train__max_steps": 6,
        }
        return write_recipe(
            self.folder / name, self.model, Path("unused"), **settings | changes
        )  # fmt: skip

    def opened(self, mixture: Path, seed: int = 0, held_out: float = 0.0) -> OpenedMixture:
        places = Places(self.cards, SHIPPED / "templates", self.rows, self.folder / "read")
        return open_mixture(load_mixture(mixture), places, seed=seed, watch=iter, held_out=held_out)


def of_store(opened: OpenedMixture, card: str) -> list[Example]:
    store = opened.stores[card]
    return [store[number] for number in range(len(store))]


def said(rows: Iterator[Example | Dropped]) -> list[tuple[str, ...]]:
    return [
        (row.id, *(turn.text for turn in row.turns)) if isinstance(row, Example) else (row.detail,)
        for row in rows
    ]


def streaming(**more: Any) -> dict[str, Any]:
    return {"data__streaming": True, "data__window_rows": 37} | more


def about(found: int, share: float, count: int) -> bool:
    return abs(found - share * count) <= 4 * (share * (1 - share) * count) ** 0.5
