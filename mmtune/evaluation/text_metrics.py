"""Scores of a written answer against its references, by torchmetrics; each example keeps its own
parts, so that intervals can be made by drawing examples. All scores are 0 to 1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torchmetrics.functional.text import edit_distance, rouge_score, squad
from torchmetrics.text import SacreBLEUScore

from mmtune.judging.statistics import Finish, Floats, ratio

_ORDERS = 4


@dataclass(frozen=True, slots=True)
class TextMetric:
    """`parts(answer, references)` are numbers to be added up over examples; `finish` makes the
    score of their sums [..., parts]."""

    parts: Callable[[str, Sequence[str]], tuple[float, ...]]
    finish: Finish = ratio


def _exact_match(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return _squad(answer, references)["exact_match"], 1.0


def _f1(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return _squad(answer, references)["f1"], 1.0


def _squad(answer: str, references: Sequence[str]) -> dict[str, float]:
    """The best over the references, after SQuAD's normalisation (Rajpurkar et al. 2016)."""
    texts: Any = {"text": list(references), "answer_start": [0] * len(references)}
    found = squad(
        {"prediction_text": answer, "id": ""},
        {"answers": texts, "id": ""},
    )
    return {name: float(value) / 100 for name, value in found.items()}


def _edit_similarity(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    """1 - Levenshtein distance / characters of the longer text, to the nearest reference."""
    alike = [
        1 - float(edit_distance([answer], [one], reduction="sum")) / max(len(answer), len(one), 1)
        for one in references
    ]
    return max(alike), 1.0


def _rouge(key: str) -> Callable[[str, Sequence[str]], tuple[float, ...]]:
    def parts(answer: str, references: Sequence[str]) -> tuple[float, ...]:
        """F measure against the reference that suits best (Lin 2004), without stemming."""
        found = rouge_score(answer, [list(references)], accumulate="best", rouge_keys=(key,))
        return float(found[f"{key}_fmeasure"]), 1.0

    return parts


def _bleu_parts(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    """Matches and n-grams of each order, and both lengths; sacreBLEU's 13a tokens (Post 2018)."""
    counted = SacreBLEUScore(n_gram=_ORDERS)
    counted.update([answer], [list(references)])
    counts = (*counted.numerator.tolist(), *counted.denominator.tolist())
    return (*counts, float(counted.preds_len), float(counted.target_len))


def _bleu(sums: Floats) -> Floats:
    """Corpus BLEU (Papineni et al. 2002, section 2.3): 0 where one order has no match."""
    matches, ngrams = sums[..., :_ORDERS], sums[..., _ORDERS : 2 * _ORDERS]
    said, wanted = sums[..., -2], sums[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(matches / ngrams).mean(-1))
        brevity = np.exp(np.minimum(0.0, 1 - wanted / said))
        return np.where((matches > 0).all(-1), brevity * precision, 0.0)


TEXT_METRICS: Mapping[str, TextMetric] = {
    "exact_match": TextMetric(_exact_match),
    "f1": TextMetric(_f1),
    "rouge1": TextMetric(_rouge("rouge1")),
    "rouge2": TextMetric(_rouge("rouge2")),
    "rougeL": TextMetric(_rouge("rougeL")),
    "bleu": TextMetric(_bleu_parts, _bleu),
    "edit_similarity": TextMetric(_edit_similarity),
}
HEADLINES = {
    "rouge": "rougeL",
    "accuracy": "exact_match",
    "edit_distance": "edit_similarity",
    "pearson": "exact_match",
}
"""Which of them a card's `metric` means, where the names differ."""
