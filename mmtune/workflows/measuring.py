"""What a run asks of its model on the way: held-out loss, marks for answers, samples to look at."""

import json
import math
from dataclasses import asdict
from typing import Any

from mmtune.encoding.batches import Batch
from mmtune.evaluation.scorers import SCORERS
from mmtune.families.family import GenerationSettings, Loaded
from mmtune.training.held_out import held_out_loss
from mmtune.training.tracking import write_json
from mmtune.types import Example
from mmtune.workflows.choice import Candidate
from mmtune.workflows.exam import Marked, mean_score, sit_exam
from mmtune.workflows.session import Session
from mmtune.workflows.steps import fixed_batches


def measure_start(session: Session) -> None:
    """The held-out loss before the first step, so that its fall is seen."""
    if session.progress.step == 0 and (losses := _dev_loss(session)) and session.main:
        session.tracker.write({"step": 0, "epoch": 0.0, "dev_loss": losses})
        session.tracker.say("step 0: " + _in_words(losses, None))


def measure_if_missed(session: Session) -> None:
    """Measure the checkpoint gone on from, where the run was stopped between saving and that."""
    if session.progress.due and not session.choice.has(session.progress.step):
        measure(session)


def measure(session: Session) -> None:
    """Ask the dev set what it says of the weights as they are; they become a candidate."""
    step, epoch = session.progress.step, session.progress.position
    losses = _dev_loss(session)
    score = None
    section = session.recipe.train.select
    if section.by == "generation":
        score = mean_score(marks(session, session.dev))
    loss = losses.get("all", math.nan)
    candidate = Candidate(step, epoch, loss if math.isfinite(loss) else None, score)
    session.choice.add(candidate, write=session.main)
    if session.main:
        row: dict[str, Any] = {"step": step, "epoch": round(epoch, 4)}
        if losses:
            row["dev_loss"] = losses
        if score is not None:
            row["dev_score"] = score
        if len(row) > 2:
            session.tracker.write(row)
            session.tracker.say(f"step {step}: " + _in_words(losses, score))
        _write_samples(session)


def _in_words(losses: dict[str, float], score: float | None) -> str:
    parts = [f"held-out loss {losses['all']:.4f}"] if losses else []
    return ", ".join(parts + ([f"dev answers score {score:.1%}"] if score is not None else []))


def _dev_loss(session: Session) -> dict[str, float]:
    if session.dev_store is None:
        return {}
    batches: list[Batch] = list(fixed_batches(session.feed, session.dev_store))
    return held_out_loss(
        session.model, batches, list(session.dev_store.sources), session.accelerator
    )


def marks(session: Session, examples: list[Example], of: Loaded | None = None) -> list[Marked]:
    """Answers to examples, graded: of the test set, or of the dev set for choosing."""
    if not examples:
        return []
    on_test = examples is session.test
    section = session.recipe.test if on_test else session.recipe.train.select
    settings = GenerationSettings(max_new_tokens=section.max_new_tokens)
    return sit_exam(
        session.family,
        of or session.loaded,
        examples,
        SCORERS[section.scorer],
        settings,
        session.ranks,
    )


def marks_before(session: Session) -> list[Marked]:
    """The marks of the model as it was before training, loaded anew: the first step need not wait
    for them. What an earlier start of the run wrote of them is read."""
    section, path = session.recipe.test, session.folder / "test_before.json"
    if not (section.before and session.test):
        return []
    asked = section.model_dump(mode="json", exclude={"show"})
    asked["examples"] = [example.id for example in session.test]
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if found.get("asked") == asked:
        return [Marked(**mark) for mark in found["marks"]]
    model = session.recipe.model
    session.optimizer.state.clear()
    base = session.family.load(
        model,
        session.accelerator.device,
        seed=session.recipe.train.seed,
        supervise=session.recipe.data.supervise,
    )
    answered = marks(session, session.test, base)
    if session.main:
        write_json(path, {"asked": asked, "marks": [asdict(mark) for mark in answered]})
    return answered


def _write_samples(session: Session) -> None:
    """Answers to a few prompts, to look at: samples/step-<n>.json."""
    section = session.recipe.samples
    if not (prompts := session.sample_prompts):
        return
    settings = GenerationSettings(max_new_tokens=section.max_new_tokens)
    outputs = session.family.generate(session.loaded, prompts, settings)
    folder = session.folder / "samples"
    folder.mkdir(exist_ok=True)
    rows = [
        {"prompt": prompt.turns[-1].text, "answer": output.text, "stopped": output.stopped}
        for prompt, output in zip(prompts, outputs, strict=True)
    ]
    write_json(folder / f"step-{session.progress.step}.json", rows)
