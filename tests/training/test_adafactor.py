"""Adafactor is the paper's, its moments survive a checkpoint to the bit, its memory is counted."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_pair_model
from torch import Tensor, nn

from mmtune.config.load import load_recipe
from mmtune.config.recipe import Train
from mmtune.encoding.pairs import pack_pairs
from mmtune.encoding.samples import TokenSample
from mmtune.errors import ConfigError
from mmtune.families.pair_attention import set_pair_attention
from mmtune.families.pair_model import PairModel
from mmtune.objectives.next_token import next_token
from mmtune.training.checkpoint import Progress, load_checkpoint, take_snapshot
from mmtune.training.checkpoint_files import write_snapshot
from mmtune.training.loop import WithObjective
from mmtune.training.memory import training_state_bytes
from mmtune.training.optimizer import MOMENTS_PER_WEIGHT, make_optimizer, moments_of

T5_RECIPE = Train(learning_rate=1e-3, schedule="constant", optimizer={"kind": "adafactor"})  # type: ignore[arg-type]


def paper(weight: Tensor, gradients: list[Tensor], rate: float) -> Tensor:
    """Shazeer and Stern 2018, algorithms 4 and 5, in float64, with T5's fixed rate."""
    weight = weight.double()
    rows = columns = vector = 0.0
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient.double()
        keep = 1 - step**-0.8
        squares = gradient**2 + 1e-30
        if weight.ndim == 2:
            rows = keep * rows + (1 - keep) * squares.sum(1, keepdim=True)
            columns = keep * columns + (1 - keep) * squares.sum(0, keepdim=True)
            second = rows @ columns / rows.sum()  # type: ignore[attr-defined]
        else:
            second = vector = keep * vector + (1 - keep) * squares
        update = gradient / second.sqrt()
        update /= max(1.0, update.square().mean().sqrt().item())
        scale = max(1e-3, weight.square().mean().sqrt().item())
        weight = weight - rate * scale * update
    return weight


@pytest.mark.parametrize("shape", [(6, 4), (5,)])
@pytest.mark.parametrize("size", [1.0, 1e-8])
def test_steps_are_those_of_the_paper_also_for_small_gradients(
    shape: tuple[int, ...], size: float
) -> None:
    torch.manual_seed(0)
    model = nn.ParameterList([nn.Parameter(torch.randn(shape))])
    gradients = [torch.randn(shape) * size for _ in range(4)]
    expected = paper(model[0].detach(), gradients, 1e-3)
    optimizer = make_optimizer(model, T5_RECIPE)
    for gradient in gradients:
        model[0].grad = gradient.clone()
        optimizer.step()
    assert torch.allclose(model[0].double(), expected, rtol=1e-6, atol=1e-9)


def test_rows_that_no_step_reads_stay_as_they_are() -> None:
    embeddings = nn.Embedding(5, 3)
    before = embeddings.weight.detach().clone()
    optimizer = make_optimizer(embeddings, T5_RECIPE)
    for _ in range(3):
        embeddings(torch.tensor([1, 3])).sum().backward()
        optimizer.step()
    assert torch.equal(embeddings.weight[[0, 2, 4]], before[[0, 2, 4]])
    assert not torch.equal(embeddings.weight[[1, 3]], before[[1, 3]])


def pair_model(seed: int = 0, kind: str = "t5") -> WithObjective:
    network = tiny_pair_model(kind, seed=seed)
    set_pair_attention(network, "documents", torch.device("cpu"))
    return WithObjective(PairModel(network, 0), next_token)


def learn(model: WithObjective, optimizer: torch.optim.Optimizer, times: int) -> None:
    ids = np.random.default_rng(3).integers(3, 190, 12, dtype=np.int32)
    batch = pack_pairs([TokenSample(ids, np.arange(12) >= 7, "one", "s")], [0])
    for _ in range(times):
        model(batch).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("kind", ["t5", "flan_t5"])
def test_a_checkpoint_gives_back_moments_so_that_later_steps_are_the_same_to_the_bit(
    tmp_path: Path, kind: str
) -> None:
    model = pair_model(kind=kind)
    optimizer = make_optimizer(model, T5_RECIPE)
    learn(model, optimizer, 3)
    snapshot = take_snapshot(model, optimizer, Progress(3), True)
    assert snapshot is not None
    write_snapshot(tmp_path, snapshot)
    other = pair_model(seed=9, kind=kind)
    fresh = make_optimizer(other, T5_RECIPE)
    load_checkpoint(tmp_path / "step-3", other, fresh)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert optimizer.state[p].keys() == fresh.state[q].keys()
        assert all(torch.equal(v, fresh.state[q][name]) for name, v in optimizer.state[p].items())
    learn(model, optimizer, 2)
    learn(other, fresh, 2)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_its_memory_is_counted_as_it_is() -> None:
    model = pair_model()
    optimizer = make_optimizer(model, T5_RECIPE)
    learn(model, optimizer, 1)
    held = sum(
        value.numel()
        for state in optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    )
    assert held == sum(moments_of(p, optimizer) for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters())
    assert training_state_bytes(model, "adafactor") == 4 * (trained + held)
    assert training_state_bytes(model) == training_state_bytes(model, "adamw") == 4 * 3 * trained
    t5_base = nn.Linear(768, 3072, bias=False)
    share = moments_of(t5_base.weight, "adafactor") / t5_base.weight.numel()
    assert share < MOMENTS_PER_WEIGHT["adafactor"] and math.isclose(share, 1 / 768 + 1 / 3072)


def recipe(tmp_path: Path, *overrides: str) -> Any:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: {family: text, path: 'pocket:lm'}\ndata: {path: rows.jsonl}\nrun: {dir: run}\n"
    )
    return load_recipe(path, list(overrides))


def test_a_recipe_names_its_optimizer_and_only_that_ones_settings(tmp_path: Path) -> None:
    assert recipe(tmp_path).train.optimizer.kind == "adamw"
    assert isinstance(make_optimizer(nn.Linear(2, 2), recipe(tmp_path).train), torch.optim.AdamW)
    chosen = recipe(tmp_path, "train.optimizer.kind=adafactor").train
    assert chosen.optimizer.weight_decay == 0.0
    made = make_optimizer(nn.Linear(2, 2), chosen)
    assert isinstance(made, torch.optim.Adafactor)
    assert [group["weight_decay"] for group in made.param_groups] == [0.0, 0.0]
    with pytest.raises(ConfigError, match="beta1 is of AdamW"):
        recipe(tmp_path, "train.optimizer.kind=adafactor", "train.beta1=0.8")
    with pytest.raises(ConfigError, match="clip_update"):
        recipe(tmp_path, "train.optimizer.clip_update=2.0")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("decay_exponent", 0.5),
        ("clip_update", 2.0),
        ("smallest_scale", 10.0),
        ("weight_decay", 0.5),
    ],
)
def test_each_setting_changes_a_step(key: str, value: float) -> None:
    def after(**settings: float) -> Tensor:
        section = Train(learning_rate=1e-3, optimizer={"kind": "adafactor", **settings})  # type: ignore[arg-type]
        layer = nn.Linear(3, 3, bias=False)
        nn.init.constant_(layer.weight, 0.5)
        optimizer = make_optimizer(layer, section)
        for size in (1.0, 9.0, 1.0):  # an update that is clipped, and one that is not
            layer.weight.grad = torch.arange(9.0).reshape(3, 3) * size
            optimizer.step()
        return layer.weight.detach()

    assert not torch.equal(after(), after(**{key: value}))
