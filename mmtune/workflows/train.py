"""`mmtune train`: one recipe, from rows to `final/`. Reads top to bottom."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from signal import Signals
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from mmtune.config.recipe import Recipe
from mmtune.errors import Interrupted, MmtuneError, StorageError, TrainingDiverged
from mmtune.training.checkpoint import load_checkpoint, take_snapshot
from mmtune.training.checkpoint_files import saved_steps, verify
from mmtune.training.loop import LoopSettings, StepInput, StepReport, training_steps
from mmtune.training.optimizer import learning_rate
from mmtune.training.ranks import RankWatch
from mmtune.training.signals import EXIT_CODES, StopSignals
from mmtune.training.tracking import write_json, write_status
from mmtune.workflows.exam import describe_exam, exam_report
from mmtune.workflows.export import export
from mmtune.workflows.measuring import (
    marks,
    marks_before,
    measure,
    measure_if_missed,
    measure_start,
)
from mmtune.workflows.preflight import check_folder
from mmtune.workflows.session import Session, let_go, make_accelerator, open_session
from mmtune.workflows.steps import step_inputs


def run(recipe: Recipe) -> None:
    """Train what the recipe says.

    Raises:
        InputError: something in the recipe, the data or the model is wrong.
        TrainingDiverged: the loss stopped being a number, or leapt up to stay.
        Interrupted: a signal came; a checkpoint was written.
        StorageError: the result could not be written.
        RankLost: another process of the run has ended.
    """
    folder = Path(recipe.run.dir)
    accelerator = make_accelerator(recipe)
    check_folder(recipe, folder)
    ranks = _watch_ranks(folder, accelerator)
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_status(folder, "running")
    accelerator.wait_for_everyone()
    state, note = "failed", "stopped by an error"
    try:
        with ranks, StopSignals(ranks) as signals:
            _run(recipe, folder, accelerator, signals)
        state, note = "finished", ""
    except MmtuneError as error:
        state, note = "interrupted" if isinstance(error, Interrupted) else state, str(error)
        raise
    finally:
        _write_end(folder, ranks, state, note)


def _watch_ranks(folder: Path, accelerator: Accelerator) -> RankWatch:
    def advice() -> str:
        if not _is_running(folder):
            return "It has said why"
        return (
            "Its last words, if it had any, stand above; without them it was killed, most often "
            f"for want of memory. {_newest(folder)}; run the same command with train.resume=auto "
            "to go on"
        )

    def last_words(message: str) -> None:
        _write_end(folder, ranks, "failed", message)

    ranks = RankWatch(accelerator, advice, last_words)
    return ranks


def _write_end(folder: Path, ranks: RankWatch, state: str, note: str) -> None:
    """`status.json`, by rank 0 or, where that was killed and could not, by the next."""
    in_its_place = ranks.speaks() and 0 in ranks.lost() and _is_running(folder)
    if ranks.rank == 0 or in_its_place:
        write_status(folder, state, note=note)


def _is_running(folder: Path) -> bool:
    """Whether `status.json` says so: no rank has written an end."""
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found["state"] == "running"


def _run(recipe: Recipe, folder: Path, accelerator: Accelerator, signals: StopSignals) -> None:
    session = open_session(recipe, folder, accelerator)
    try:
        measure_start(session)
        measure_if_missed(session)
        _train(session, signals)
        _settle(session)
        _restore_chosen(session)
        after = marks(session, session.test)
    except TrainingDiverged:
        _settle(session)  # no rank ends while another still writes: the launcher would stop it
        raise
    finally:
        session.writer.close()
        session.tracker.close()
    before = marks_before(session) if after else []
    report = exam_report(before, after, recipe.test.scorer) if after else {}
    _write_result(session, report)
    if session.main:
        if report:
            print(describe_exam(report, recipe.test.show))
        print(f"\nfinished: {folder / 'final'} loads with from_pretrained of transformers")


def _train(session: Session, signals: StopSignals) -> None:
    """Take the steps that are left; log each, save where it is due."""
    places = step_inputs(session.feed, session.progress, session.steps)

    def inputs() -> Iterator[StepInput]:
        for item, progress, ends_epoch in places:
            due = _save_is_due(session, progress.step, ends_epoch)
            session.progress = replace(progress, due=due)
            yield replace(item, settles=due)

    signals.in_steps = True
    for report in training_steps(
        session.model, session.optimizer, inputs(), session.accelerator, _settings(session, signals)
    ):
        if session.main:
            session.tracker.step(report)
        _watch(session, report)
        due = session.progress.due and session.progress.step == report.step
        if due or report.stop_signal:
            _save(session, measured=not report.stop_signal)
        if report.stop_signal:
            _stop(session, report.stop_signal)
    signals.in_steps = False


def _watch(session: Session, report: StepReport) -> None:
    """Remember the examples of a step that went wrong; stop where the loss stays up."""
    spiked = session.spikes.spiked(report.loss)
    if session.main and (report.skipped or session.spikes.in_a_row):
        why = "no number" if report.skipped else f"loss {report.loss:.4g}, a spike"
        session.tracker.bad_step(report, why)
    if spiked:
        mean = sum(session.spikes.recent) / len(session.spikes.recent)
        raise TrainingDiverged(
            f"step {report.step}: the loss, {report.loss:.4g}, was more than "
            f"{session.recipe.train.spike_stop.factor:g} times its recent mean of {mean:.4g} in "
            f"{session.spikes.in_a_row} steps in a row (train.spike_stop). Lower "
            "train.learning_rate, or look at the examples of these steps in bad_steps.jsonl."
        )


def _settings(session: Session, signals: StopSignals) -> LoopSettings:
    section = session.recipe.train
    return LoopSettings(
        learning_rate_at=lambda step: learning_rate(section, step, session.steps),
        clip_norm=section.clip_norm,
        max_skipped_steps=section.max_skipped_steps,
        seed=section.seed,
        stop_signal=signals,
        deferred=session.can_defer,
    )


def _save_is_due(session: Session, step: int, ends_epoch: bool) -> bool:
    every = session.recipe.train.save_every_steps
    return step == session.steps or (step % every == 0 if every else ends_epoch)


def _save(session: Session, *, measured: bool) -> None:
    """Have a checkpoint written in the background, and measure it on the dev set meanwhile. Whoever
    sends a signal does not wait long, so that it is measured on resuming then."""
    progress = replace(
        session.progress,
        recent_losses=tuple(session.spikes.recent),
        spikes=session.spikes.in_a_row,
    )
    snapshot = take_snapshot(session.model, session.optimizer, progress, session.main)
    if snapshot is not None:
        session.writer.write(snapshot)
    if measured:
        measure(session)


def _settle(session: Session) -> None:
    """See the last checkpoint on the disk, and the old ones gone."""
    if session.main:
        session.writer.wait()
        let_go(session.folder, session.recipe, session.choice)
    session.accelerator.wait_for_everyone()


def _write_result(session: Session, report: dict[str, Any]) -> None:
    """`test.json` and `final/`.

    Raises StorageError where the disk does not take them.
    """
    try:
        if session.main and report:
            write_json(session.folder / "test.json", report)
        export(session, report)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{session.folder / 'final'} could not be written ({error}). "
            f"{_newest(session.folder)}; make room, then run the same command with "
            "train.resume=auto"
        ) from error


def _newest(folder: Path) -> str:
    kept = saved_steps(folder / "checkpoints")
    return f"The newest checkpoint is of step {kept[-1]}" if kept else "There is no checkpoint"


def _stop(session: Session, number: int) -> None:
    _settle(session)
    written = f"stopped by a signal after step {session.progress.step}, checkpoint written"
    if session.progress.step in session.writer.failed:
        written = f"stopped by a signal. {_newest(session.folder)}, the last could not be written"
    raise Interrupted(
        f"{written}; run the same command with train.resume=auto to go on",
        exit_code=EXIT_CODES[Signals(number)],
    )


def _restore_chosen(session: Session) -> None:
    """Put the weights of the chosen checkpoint in place."""
    parent, now = session.folder / "checkpoints", session.progress.step
    best = session.choice.best({*saved_steps(parent), now})
    while best and best.step != now and (fault := verify(parent / f"step-{best.step}")):
        session.say(f"step {best.step} cannot be chosen: its checkpoint is damaged ({fault})")
        session.choice.forget(best.step)
        best = session.choice.best({*saved_steps(parent), now})
    session.chosen = best
    if best is None or best.step == now:
        return
    load_checkpoint(parent / f"step-{best.step}", session.model, None)
    measure = (
        f"loss {best.loss:.4f}" if session.choice.section.by == "loss" else f"{best.score:.1%}"
    )
    session.say(f"chosen: step {best.step} (epoch {best.epoch:g}), {measure} on the dev set")
