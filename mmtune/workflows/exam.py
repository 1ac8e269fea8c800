"""Prompts with known answers, answered by the model and graded: the test set, or the dev set."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accelerate.utils import gather_object

from mmtune.evaluation.scorers import Scorer
from mmtune.families.family import Family, GenerationSettings, Loaded
from mmtune.judging.statistics import paired_bootstrap_interval, wilson_interval
from mmtune.templates.phrasing import as_conversation
from mmtune.types import Example
from mmtune.workflows.dataset import prompt_of
from mmtune.workflows.steps import Ranks


@dataclass(frozen=True, slots=True)
class Marked:
    """One prompt, its answer and the answer's score."""

    example_id: str
    prompt: str
    reference: str
    answer: str
    stopped: bool
    score: float


def sit_exam(
    family: Family,
    loaded: Loaded,
    examples: Sequence[Example],
    scorer: Scorer,
    settings: GenerationSettings,
    ranks: Ranks,
) -> list[Marked]:
    """Answer and grade every example that has a question; ranks share the work and the marks."""
    asked = [
        (example, prompt)
        for example in examples
        if (prompt := prompt_of(as_conversation(example))) is not None
    ]
    mine = asked[ranks.rank :: ranks.size]
    outputs = family.generate(loaded, [prompt for _, prompt in mine], settings)
    marks = [
        _mark(example, prompt.turns[-1].text, output.text, output.stopped, scorer)
        for (example, prompt), output in zip(mine, outputs, strict=True)
    ]
    everyone = gather_object([asdict(mark) for mark in marks]) if ranks.size > 1 else None
    if everyone is None:
        return marks
    by_id = {mark["example_id"]: Marked(**mark) for mark in everyone}
    return [by_id[example.id] for example, _ in asked]


def _mark(example: Example, prompt: str, answer: str, stopped: bool, scorer: Scorer) -> Marked:
    reference = reference_of(example)
    score = scorer(example.fields, prompt, reference, answer)
    return Marked(example.id, prompt, reference, answer, stopped, score)


def reference_of(example: Example) -> str:
    """The answer that the data gives."""
    turns = [turn for turn in as_conversation(example).turns if turn.role == "assistant"]
    return turns[-1].text if turns else ""


def mean_score(marks: Sequence[Marked]) -> float:
    return sum(mark.score for mark in marks) / max(1, len(marks))


def exam_report(before: Sequence[Marked], after: Sequence[Marked], scorer: str) -> dict[str, Any]:
    """Scores with 95% intervals (Wilson where right or wrong, else bootstrap), and all answers."""
    report: dict[str, Any] = {"scorer": scorer, "prompts": len(after), "after": _summary(after)}
    if before:
        gains = [b.score - a.score for a, b in zip(before, after, strict=True)]
        low, high = paired_bootstrap_interval(gains)
        report["before"] = _summary(before)
        report["gain"] = {"mean": sum(gains) / len(gains), "low": low, "high": high}
    report["answers"] = [
        asdict(mark) | ({"answer_before": old.answer} if before else {})
        for mark, old in zip(after, before or after, strict=True)
    ]
    return report


def _summary(marks: Sequence[Marked]) -> dict[str, float]:
    scores = [mark.score for mark in marks]
    right_or_wrong = set(scores) <= {0.0, 1.0}
    low, high = (
        wilson_interval(int(sum(scores)), len(scores))
        if right_or_wrong
        else paired_bootstrap_interval(scores)
    )
    return {"mean": mean_score(marks), "low": low, "high": high}


def describe_exam(report: dict[str, Any], show: int) -> str:
    """The report in words, with the first answers."""
    lines = [""]
    for when in ("before", "after"):
        if when in report:
            part = report[when]
            lines.append(
                f"{when:>6} tuning: {part['mean']:6.1%}  (95% interval {part['low']:.1%} to "
                f"{part['high']:.1%}; {report['scorer']}, {report['prompts']} test prompts)"
            )
    if "gain" in report:
        gain = report["gain"]
        lines.append(
            f"         gain: {gain['mean']:+6.1%}  (95% interval {gain['low']:+.1%} to "
            f"{gain['high']:+.1%}, paired)"
        )
    for mark in report["answers"][:show]:
        lines += ["", f"  asked:  {_short(mark['prompt'])}"]
        if "answer_before" in mark:
            lines.append(f"  before: {_short(mark['answer_before'])}")
        verdict = "right" if mark["score"] == 1 else f"score {mark['score']:.2f}"
        lines.append(f"  after:  {_short(mark['answer'])}   [{verdict}]")
    return "\n".join(lines)


def _short(text: str, limit: int = 160) -> str:
    flat = " / ".join(text.split("\n"))
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
