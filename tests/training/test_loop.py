"""The loop's parts: steps skipped, rates, groups, memory, held-out loss, checkpoints."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny import tiny_model
from tiny_runs import (
    all_metrics,
    in_fork,
    make_model,
    make_rows,
    metrics,
    status,
    train,
    write_recipe,
)
from torch import Tensor, nn

from mmtune.config.recipe import Train
from mmtune.encoding.batches import TokenBatch, pack
from mmtune.encoding.samples import TokenSample
from mmtune.errors import TrainingDiverged
from mmtune.families import text
from mmtune.families.text import LanguageModel
from mmtune.objectives.next_token import next_token
from mmtune.training.checkpoint_files import sorted_checkpoints
from mmtune.training.held_out import held_out_loss
from mmtune.training.loop import (
    LoopSettings,
    StepInput,
    StepReport,
    WithObjective,
    training_steps,
)
from mmtune.training.memory import activation_bytes, training_state_bytes
from mmtune.training.optimizer import learning_rate, make_optimizer


def batch(*lengths: int, source: str = "s") -> TokenBatch:
    rng = np.random.default_rng(sum(lengths))
    samples = [
        TokenSample(rng.integers(5, 300, n, dtype=np.int32), np.ones(n, bool), f"{n}", source)
        for n in lengths
    ]
    return pack(samples, [0] * len(samples))


def step(number: int, *batches: TokenBatch) -> StepInput:
    counts: dict[str, int] = {}
    for one in batches:
        for source, targets in zip(one.sources, one.document_targets, strict=True):
            counts[source] = counts.get(source, 0) + targets
    tokens = sum(one.num_tokens for one in batches)
    return StepInput(
        step=number,
        epoch=number / 10,
        batches=batches,
        num_targets=sum(counts.values()),
        num_tokens=tokens,
        num_slots=2 * tokens,
        source_targets=counts,
    )


class Poison:
    """The objective, with the loss of the batches in `bad` made no number."""

    def __init__(self, *bad: int, value: float = math.nan) -> None:
        self.bad, self.calls, self.value = bad, 0, value

    def __call__(self, model: Any, one: TokenBatch) -> Tensor:
        self.calls += 1
        sums = next_token(model, one)
        return sums * self.value if self.calls in self.bad else sums


def steps(
    objective: Any,
    inputs: list[StepInput],
    *,
    allowed: int = 3,
    signal: int = 0,
    deferred: bool = False,
) -> tuple[nn.Module, Iterator[StepReport]]:
    model = WithObjective(LanguageModel(tiny_model("llama")), objective)
    optimizer = make_optimizer(model, Train(learning_rate=1e-2))
    settings = LoopSettings(lambda n: 1e-2 / n, 1.0, allowed, 0, lambda: signal, deferred)
    return model, training_steps(model, optimizer, inputs, Accelerator(cpu=True), settings)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_whose_loss_is_no_number_is_skipped_and_changes_nothing(value: float) -> None:
    inputs = [step(n, batch(6, 9), batch(4)) for n in (1, 2, 3)]
    model, reports = steps(Poison(3, value=value), inputs)  # first micro-batch of the second step
    one = next(reports)
    after_one = weights(model)
    two = next(reports)
    assert torch.equal(weights(model), after_one)
    assert two.skipped and math.isnan(two.loss) and two.source_losses == {}
    three = next(reports)
    assert not one.skipped and not three.skipped and math.isfinite(three.loss)
    assert not torch.equal(weights(model), after_one)


def test_too_many_skips_in_a_row_end_the_run_and_one_good_step_forgives() -> None:
    inputs = [step(n, batch(6)) for n in range(1, 9)]
    model, reports = steps(Poison(2, 3, 5, 6, 7), inputs, allowed=2)
    before = weights(model)
    seen = []
    with pytest.raises(TrainingDiverged, match="3 steps in a row.*step 4"):
        for report in reports:
            seen.append(report.skipped)
    assert seen == [False, True, True, False, True, True, True]
    assert torch.isfinite(weights(model)).all() and not torch.equal(weights(model), before)


def test_deferred_steps_are_the_same_steps_and_skip_on_the_device() -> None:
    inputs = [step(n, batch(6, 9), batch(4)) for n in range(1, 7)]
    runs = []
    for deferred in (False, True):
        given = [replace(item, settles=item.step in (4, 6)) for item in inputs]
        model, reports = steps(Poison(3, 10), given, deferred=deferred)  # steps 2 and 5
        runs.append(([replace(report, seconds=0.0) for report in reports], weights(model)))
    plain, late = runs
    assert torch.equal(plain[1], late[1])
    assert repr(plain[0]) == repr(late[0])  # nan is not equal to itself
    assert [report.skipped for report in late[0]] == [False, True, False, False, True, False]


def test_a_deferred_step_is_reported_while_the_next_one_runs_unless_it_settles() -> None:
    begun: list[int] = []

    def watched(inputs: list[StepInput]) -> Iterator[StepInput]:
        for item in inputs:
            begun.append(item.step)
            yield item

    inputs = [replace(step(n, batch(6)), settles=n == 3) for n in range(1, 6)]
    _, reports = steps(next_token, watched(inputs), deferred=True)  # type: ignore[arg-type]
    seen = [(report.step, begun[-1]) for report in reports]
    assert seen == [(1, 2), (2, 3), (3, 3), (4, 5), (5, 5)]


def test_no_step_begins_after_a_stop_signal_was_read() -> None:
    begun: list[int] = []

    def watched() -> Iterator[StepInput]:
        for n in range(1, 9):
            begun.append(n)
            yield replace(step(n, batch(6)), settles=False)

    model = WithObjective(LanguageModel(tiny_model("llama")), next_token)
    optimizer = make_optimizer(model, Train(learning_rate=1e-2))
    settings = LoopSettings(
        lambda n: 1e-2, 1.0, 3, 0, lambda: 15 if begun[-1] >= 3 else 0, deferred=True
    )
    reports = training_steps(model, optimizer, watched(), Accelerator(cpu=True), settings)
    stops = []
    for report in reports:
        stops.append((report.step, report.stop_signal))
        if report.stop_signal:
            break
    # Step 4 was on its way when that of step 3 was read; the caller stops where no more run.
    assert stops == [(1, 0), (2, 0), (3, 0), (4, 15)] and begun == [1, 2, 3, 4]


def test_a_report_says_what_the_step_did() -> None:
    one, other = batch(6, 9, source="a"), batch(4, source="b")
    model, reports = steps(next_token, [step(1, one, other), step(2, one)], signal=15)
    sums = [next_token(model.model, b).sum().item() for b in (one, other)]
    report = next(reports)
    assert report.loss == pytest.approx(sum(sums) / 16, rel=1e-5)
    assert report.source_losses == pytest.approx({"a": sums[0] / 13, "b": sums[1] / 3}, rel=1e-5)
    assert (report.num_targets, report.num_tokens) == (16, 19)
    assert report.padding_fraction == 0.5 and report.stop_signal == 15
    assert report.lr == 1e-2 and next(reports).lr == 5e-3


def test_a_step_that_learns_nothing_is_no_division_by_zero() -> None:
    model, reports = steps(next_token, [step(1, batch(6).without_targets())])
    assert next(reports).loss == 0


def test_clipping_bounds_the_step() -> None:
    model = WithObjective(LanguageModel(tiny_model("llama")), next_token)
    before = weights(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    settings = LoopSettings(lambda n: 1.0, 0.01, 0, 0)
    (report,) = training_steps(
        model, optimizer, [step(1, batch(9))], Accelerator(cpu=True), settings
    )
    assert report.grad_norm > 0.1
    assert (weights(model) - before).norm().item() == pytest.approx(0.01, rel=1e-2)


# The optimizer.


def test_matrices_decay_and_vectors_do_not() -> None:
    model = tiny_model("gpt2")
    frozen = model.get_input_embeddings().weight
    frozen.requires_grad_(False)
    optimizer = make_optimizer(model, Train(weight_decay=0.3, beta1=0.8, beta2=0.9))
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == 0.3 and plain["weight_decay"] == 0.0
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim < 2 for p in plain["params"])
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert id(frozen) not in held and optimizer.defaults["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("total", [10, 101])
def test_the_rate_goes_from_the_first_to_the_last_exactly(
    schedule: Any, warmup: int, total: int
) -> None:
    section = Train(
        learning_rate=1e-5, final_learning_rate=1e-6, schedule=schedule, warmup_steps=warmup
    )
    rates = [learning_rate(section, n, total) for n in range(1, total + 1)]
    assert rates[warmup] == pytest.approx(1e-5) and rates[-1] == pytest.approx(1e-6)
    assert rates[:warmup] == pytest.approx([1e-5 * n / 4 for n in range(1, warmup + 1)])
    assert all(a > b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    if schedule == "linear":
        drops = -np.diff(rates[warmup:])
        assert drops == pytest.approx(np.full(len(drops), drops[0]), rel=1e-6)


def test_a_constant_rate_is_constant_and_short_runs_have_rates() -> None:
    section = Train(learning_rate=2e-5, schedule="constant")
    assert {learning_rate(section, n, 5) for n in range(1, 6)} == {2e-5}
    assert learning_rate(Train(learning_rate=2e-5), 1, 1) == 2e-5
    assert learning_rate(Train(learning_rate=2e-5, warmup_steps=9), 3, 3) == pytest.approx(2e-5 / 3)


# Memory.


def test_activation_bytes_count_what_is_saved_once_and_no_weights() -> None:
    layer = nn.Linear(8, 16, bias=False)
    x = torch.randn(4, 8, requires_grad=True)

    class Forward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, _batch: Any) -> Tensor:
            y = self.layer(x)
            return (y.exp() * y.exp()).sum()  # saves x, both exponentials

    assert activation_bytes(Forward(), batch(3)) == 4 * (4 * 8 + 2 * 4 * 16)


def test_longer_batches_and_no_checkpointing_need_more() -> None:
    model = WithObjective(LanguageModel(tiny_model("llama").train()), next_token)
    short, long = (activation_bytes(model, batch(n)) for n in (20, 40))
    assert 1.5 * short < long
    model.model.base.gradient_checkpointing_enable({"use_reentrant": False})
    assert activation_bytes(model, batch(40)) < long / 2
    trained = sum(p.numel() for p in model.parameters()) * 4
    assert training_state_bytes(model) == 3 * trained


# Held-out loss.


def test_the_held_out_loss_is_the_naive_one() -> None:
    model = WithObjective(LanguageModel(tiny_model("llama"), 5.0).train(), next_token)
    batches = [batch(6, 9, source="a"), batch(7, source="b"), batch(5, source="a")]
    found = held_out_loss(model, batches, ["a", "b", "none"], Accelerator(cpu=True))
    assert model.training
    plain = tiny_model("llama")
    losses: dict[str, list[float]] = {"a": [], "b": []}
    for one in batches:
        for ids in one.ids[0].split(one.document_lengths):
            with torch.no_grad():
                logits = plain(ids[None], use_cache=False).logits[0]
            values = nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="none")
            losses[one.sources[0]] += values.tolist()
    assert found.keys() == {"a", "b", "all"}
    assert found["a"] == pytest.approx(np.mean(losses["a"]), rel=1e-5)
    assert found["b"] == pytest.approx(np.mean(losses["b"]), rel=1e-5)
    assert found["all"] == pytest.approx(np.mean(losses["a"] + losses["b"]), rel=1e-5)


# Whole runs.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_model(folder / "model")
    make_rows(folder / "rows.jsonl", 26)
    make_rows(folder / "dev.jsonl", 8, start=40)
    return folder


def test_a_run_that_diverges_ends_with_code_3_and_the_examples(place: Path, capfd: Any) -> None:
    recipe = write_recipe(
        place / "diverges", place / "model", place / "rows.jsonl", train__max_skipped_steps=1
    )

    def action() -> int:
        # The first micro-batch, its 4 documents alone and the longest one are tried before.
        pytest.MonkeyPatch().setattr(text, "next_token", Poison(*range(10, 99)))
        return train(recipe, "train.batching.row_tokens=256")  # a micro-batch a step

    assert in_fork(action) == 3
    run = recipe.parent / "run"
    told = capfd.readouterr().err
    assert "no number in 2 steps in a row" in told and "Traceback" not in told
    rows = metrics(run)
    assert [row["loss"] is None for row in rows] == [False, False, False, True, True]
    assert rows[-1]["skipped"] and "NaN" not in (run / "metrics.jsonl").read_text()
    bad = [json.loads(line) for line in (run / "bad_steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in bad] == [4, 5]
    assert all(len(set(row["example_ids"])) == 4 for row in bad)
    assert status(run)["state"] == "failed" and "no number" in status(run)["note"]


def test_the_best_answering_checkpoint_is_exported(place: Path) -> None:
    """A scorer that likes the second of four best: its weights become `final/`."""
    dev = [{"path": str(place / "dev.jsonl")}]
    recipe = write_recipe(
        place / "chosen",
        place / "model",
        place / "rows.jsonl",
        data__dev=dev,
        train__select={"by": "generation", "scorer": "exact_match", "max_new_tokens": 4},
        train__save_every_steps=4,
        train__keep_last=1,
        samples__count=2,
    )
    run = recipe.parent / "run"

    def action() -> int:
        from mmtune.workflows import measuring

        asked = iter([0.25, 0.75, 0.75, 0.5])
        scores: list[float] = []

        def liking(facts: Any, prompt: str, reference: str, answer: str) -> float:
            if len(scores) % 8 == 0:
                scores.append(next(asked))
            else:
                scores.append(scores[-1])
            return scores[-1]

        patch = pytest.MonkeyPatch()
        patch.setattr(measuring, "SCORERS", {"exact_match": liking})
        return train(recipe)

    assert in_fork(action) == 0
    found = json.loads((run / "selection.json").read_text())
    assert [(c["step"], c["score"]) for c in found] == [(4, 0.25), (8, 0.75), (12, 0.75), (14, 0.5)]
    assert [row["dev_score"] for row in all_metrics(run) if "dev_score" in row] == [
        0.25, 0.75, 0.75, 0.5,
    ]  # fmt: skip
    kept = [path.name for path in sorted_checkpoints(run / "checkpoints")]
    assert kept == ["step-8", "step-14"]
    from safetensors.torch import load_file

    final = load_file(run / "final" / "model.safetensors")
    chosen = load_file(run / "checkpoints" / "step-8" / "model.safetensors")
    for name, value in final.items():
        assert torch.equal(value, chosen[f"model.network.{name}"]), name
    assert sorted(p.name for p in (run / "samples").iterdir()) == [
        f"step-{n}.json" for n in ("12", "14", "4", "8")
    ]


def test_exact_match_is_what_chooses(place: Path) -> None:
    """Trained on the dev set's own rows, the model comes to know them by heart."""
    recipe = write_recipe(
        place / "heart",
        place / "model",
        place / "dev.jsonl",
        data__dev=[{"path": str(place / "dev.jsonl"), "name": "held-out"}],
        train__select={"by": "generation", "max_new_tokens": 24},
        train__epochs=60,
        train__save_every_steps=40,
        train__keep_last=1,
        test__sources=[{"path": str(place / "dev.jsonl"), "name": "exam"}],
        test__max_new_tokens=24,
    )
    assert in_fork(lambda: train(recipe)) == 0
    run = recipe.parent / "run"
    scores = [c["score"] for c in json.loads((run / "selection.json").read_text())]
    test = json.loads((run / "test.json").read_text())
    assert max(scores) >= 0.75 and test["before"]["mean"] == 0
    assert test["after"]["mean"] == pytest.approx(max(scores))


def test_before_tuning_means_before_tuning_also_after_resuming(place: Path) -> None:
    exam = [{"path": str(place / "dev.jsonl"), "name": "exam"}]
    recipe = write_recipe(
        place / "exam", place / "model", place / "rows.jsonl",
        test__sources=exam, test__max_new_tokens=6, train__save_every_steps=4,
    )  # fmt: skip
    run = recipe.parent / "run"
    assert in_fork(lambda: train(recipe)) == 0
    first = json.loads((run / "test.json").read_text())
    assert in_fork(lambda: train(recipe, "train.resume=auto")) == 0
    again = json.loads((run / "test.json").read_text())
    assert again == first
    assert any(a["answer"] != a["answer_before"] for a in first["answers"])
    assert in_fork(lambda: train(recipe, "train.resume=auto", "test.max_new_tokens=3")) == 0
    other = json.loads((run / "test.json").read_text())  # another test: the base answers it anew
    for mark, old in zip(other["answers"], first["answers"], strict=True):
        assert mark["answer_before"] != mark["answer"]
        assert old["answer_before"].startswith(mark["answer_before"].rstrip("\ufffd"))
