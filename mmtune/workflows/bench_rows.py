"""Rows and a model to measure with: made up by seed, in the lengths that instruction data have."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmtune.families.fresh import BEGIN, END, LanguageModelShape, new_language_model

MEDIAN_TOKENS, SPREAD, LONGEST_TOKENS = 124, 0.844, 1050
"""Lognormal: the mean is median x exp(spread^2 / 2) = 177, 9 of 10 are below 373."""

PROMPT_SHARE = 1 / 3
_WORDS = 9000
_ONSETS = "b c d f g h k l m n p r s t v w st br tr pl gr".split()
_VOWELS = "a e i o u ai ou ea".split()
_ENDS = ["", "", "n", "r", "s", "t", "l", "nd"]
_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] }}"
    + END
    + "{% else %}"
    + BEGIN
    + "{{ m['content'] }}\n{% endif %}{% endfor %}"
)


def bench_rows(count: int, seed: int) -> list[dict[str, str]]:
    """Prompts and completions of made-up words, about a third of each row the prompt.

    >>> bench_rows(1, 0)[0].keys()
    dict_keys(['prompt', 'completion'])
    """
    rng = np.random.default_rng(seed)
    words = _lexicon(rng)
    ranks = np.minimum(rng.zipf(1.35, count * 400) - 1, _WORDS - 1)
    lengths = np.clip(rng.lognormal(np.log(MEDIAN_TOKENS), SPREAD, count), 12, LONGEST_TOKENS)
    cuts = np.clip(rng.normal(PROMPT_SHARE, 0.12, count), 0.1, 0.8)
    starts = rng.integers(0, len(ranks), count)
    rows = []
    for length, cut, start in zip(lengths, cuts, starts, strict=True):
        size = max(6, round(length / _TOKENS_PER_WORD))
        text = [words[rank] for rank in np.take(ranks, np.arange(start, start + size), mode="wrap")]
        at = max(2, round(cut * size))
        rows.append({"prompt": _sentence(text[:at]), "completion": _sentence(text[at:])})
    return rows


_TOKENS_PER_WORD = 1.09
"""Of `_lexicon` under a byte BPE of 8,192 entries, full stops counted."""


def _lexicon(rng: np.random.Generator) -> list[str]:
    parts = [rng.choice(kind, (_WORDS, 3)).tolist() for kind in (_ONSETS, _VOWELS, _ENDS)]
    syllables = [
        ["".join(sounds) for sounds in zip(*word, strict=True)] for word in zip(*parts, strict=True)
    ]
    return ["".join(word[: 1 + n % 3]) for n, word in enumerate(syllables)]


def _sentence(words: list[str]) -> str:
    groups = [words[start : start + 11] for start in range(0, len(words), 11)]
    return " ".join(" ".join(group).capitalize() + "." for group in groups)


def write_bench(folder: Path, rows: list[dict[str, str]], shape: LanguageModelShape) -> None:
    """`rows.jsonl`, and `model/` with a tokenizer trained on the rows and weights drawn anew."""
    new_language_model(folder / "model", _texts(rows), shape, seed=0)
    (folder / "model" / "chat_template.jinja").write_text(_TEMPLATE)
    lines = (json.dumps({"id": f"row-{n}"} | row) + "\n" for n, row in enumerate(rows))
    (folder / "rows.jsonl").write_text("".join(lines))


def as_trained(row: dict[str, str]) -> dict[str, str]:
    """The row as text with the template's tokens written out, for tools without our format; they
    add the end-of-text token themselves."""
    return {"prompt": f"{BEGIN}{row['prompt']}\n", "completion": row["completion"]}


def _texts(rows: list[dict[str, str]]) -> Iterator[str]:
    for row in rows:
        yield row["prompt"]
        yield row["completion"]
