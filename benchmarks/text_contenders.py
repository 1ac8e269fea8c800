"""One contender of `text_sft.py` in a process of its own: train, then print what it took as JSON.

Every contender starts from the same weights, rows and settings. The clock is this process's CPU
time, from the end of the third step to the end of the last.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

WARMUP_STEPS = 3
MAX_TOKENS = 1024
RATE, BETAS, DECAY, CLIP = 5e-4, (0.9, 0.95), 0.1, 1.0


@dataclass
class Clock:
    """Marks after each step: CPU and wall seconds, real tokens, slots."""

    marks: list[tuple[float, float, int, int]] = field(default_factory=list)
    peak_bytes: int = 0

    def mark(self, tokens: int, slots: int) -> None:
        self.marks.append((time.process_time(), time.perf_counter(), tokens, slots))
        self.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass
class Taken:
    """What a contender took."""

    tokens: int
    slots: int
    cpu_s: float
    wall_s: float
    preparation_s: float
    peak_bytes: int
    held_out_loss: float
    losses: list[float]


def taken(clock: Clock, preparation_s: float, network: Any, folder: Path, losses: list[float]):
    first, last = clock.marks[WARMUP_STEPS - 1], clock.marks[-1]
    steady = clock.marks[WARMUP_STEPS:]
    return Taken(
        tokens=sum(mark[2] for mark in steady),
        slots=sum(mark[3] for mark in steady),
        cpu_s=last[0] - first[0],
        wall_s=last[1] - first[1],
        preparation_s=preparation_s,
        peak_bytes=clock.peak_bytes,
        held_out_loss=held_out_loss(network, folder),
        losses=losses,
    )


@torch.no_grad()
def held_out_loss(network: Any, folder: Path) -> float:
    """Mean loss per answer token of rows that nobody trained on, each alone in a row."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    network.eval()
    network.set_attn_implementation("sdpa")
    total, count = 0.0, 0
    for row in read_rows(folder / "held_out.jsonl"):
        prompt, answer = tokenizer(row["prompt"]).input_ids, tokenizer(row["completion"]).input_ids
        ids = torch.tensor([[*prompt, *answer, tokenizer.eos_token_id]])
        logits = network(ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        total += F.cross_entropy(logits.float(), ids[0, len(prompt) :], reduction="sum").item()
        count += len(answer) + 1
    return total / count


def read_rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- mmtune, through the door that users take


def recipe(folder: Path, run: Path, budget: int) -> Any:
    from mmtune.config.recipe import Recipe

    row_tokens = 2048
    return Recipe.model_validate(
        {
            "model": {"family": "text", "path": str(folder / "model")},
            "data": {
                "path": str(folder / "rows.jsonl"),
                "max_tokens": MAX_TOKENS,
                "overlong": "truncate",
            },
            "train": {
                "max_steps": WARMUP_STEPS + -(-budget // row_tokens),
                "batch": {"kind": "rows", "count": 1},
                "batching": {"kind": "packed", "row_tokens": row_tokens},
                "learning_rate": RATE,
                "schedule": "constant",
                "beta1": BETAS[0],
                "beta2": BETAS[1],
                "weight_decay": DECAY,
                "clip_norm": CLIP,
                "save_every_steps": 10**9,
                "keep_last": 1,
            },
            "samples": {"count": 0},
            "run": {"dir": str(run), "threads": 1},
        }
    )


def mmtune(folder: Path, budget: int, run: Path) -> Taken:
    """`mmtune train`, whole: its loop, clipping, schedule, metrics.jsonl, TensorBoard and bar. The
    step generator and the data room are wrapped to read the clock, and nothing else."""
    import mmtune.workflows.session as session_room
    import mmtune.workflows.train as train_room

    clock, prepared = Clock(), []
    steps, gather = train_room.training_steps, session_room.gather

    def watched(*args: Any, **more: Any) -> Iterator[Any]:
        for report in steps(*args, **more):
            slots = round(report.num_tokens / (1 - report.padding_fraction))
            clock.mark(report.num_tokens, slots)
            yield report

    def timed(*args: Any, **more: Any) -> Any:
        start = time.process_time()
        material = gather(*args, **more)
        next(_schedule(material, what).steps(0))  # packing, which is done lazily
        prepared.append(time.process_time() - start)
        return material

    what = recipe(folder, run, budget)
    train_room.training_steps, session_room.gather = watched, timed
    train_room.run(what)
    from transformers import AutoModelForCausalLM

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "lr" in row]
    final = AutoModelForCausalLM.from_pretrained(run / "final")
    return taken(clock, prepared[0], final, folder, losses)


def _schedule(material: Any, what: Any) -> Any:
    from mmtune.encoding.schedule import Schedule

    section = what.train
    return Schedule(material.store.lengths, section.batch, section.batching, section.seed)


# --- the limit


def bare(folder: Path, budget: int, run: Path) -> Taken:
    """The bare loop on the very rows that mmtune packs, made before the clock runs."""
    from transformers import AutoModelForCausalLM

    from mmtune.families.bare_llama import bare_copy, bare_loss, places_learnt
    from mmtune.workflows.session import make_accelerator, open_session
    from mmtune.workflows.steps import step_inputs

    what = recipe(folder, run, budget)
    session = open_session(what, run, make_accelerator(what))
    batches = [
        item.batches[0] for item, *_ in step_inputs(session.feed, session.progress, session.steps)
    ]
    session.tracker.close()
    network = AutoModelForCausalLM.from_pretrained(folder / "model")
    model, places = bare_copy(network), [places_learnt(batch) for batch in batches]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    clock, losses = Clock(), []
    for batch, learnt in zip(batches, places, strict=True):
        loss = bare_loss(model, batch, learnt) / batch.num_targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP, foreach=True)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        clock.mark(batch.num_tokens, batch.ids.numel())
    network.load_state_dict(model.weights, strict=False)
    return taken(clock, 0.0, network, folder, losses)


# --- transformers' Trainer and TRL's


def common(run: Path, steps: int, rows: int) -> dict[str, Any]:
    return {
        "output_dir": str(run),
        "max_steps": steps,
        "per_device_train_batch_size": rows,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "weight_decay": DECAY,
        "max_grad_norm": CLIP,
        "optim": "adamw_torch_fused",
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 10,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 0,
    }


def grouped_trainer(folder: Path, steps: int, run: Path) -> Taken:
    """transformers' Trainer, group_by_length, 8 rows padded to the longest."""
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    start = time.process_time()
    data = Dataset.from_list([_tokens(row, tokenizer) for row in read_rows(folder / "trl.jsonl")])
    preparation = time.process_time() - start
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        args=TrainingArguments(**common(run, steps, 8), train_sampling_strategy="group_by_length"),
        train_dataset=data,
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding="longest"),
    )
    return _trained(trainer, preparation, folder)


def _tokens(row: dict[str, str], tokenizer: Any) -> dict[str, list[int]]:
    prompt, answer = tokenizer(row["prompt"]).input_ids, tokenizer(row["completion"]).input_ids
    answer = [*answer, tokenizer.eos_token_id]
    return {
        "input_ids": [*prompt, *answer][:MAX_TOKENS],
        "labels": [*[-100] * len(prompt), *answer][:MAX_TOKENS],
    }


def trl(folder: Path, steps: int, run: Path, settings: dict[str, Any]) -> Taken:
    """TRL's SFTTrainer on prompt-completion rows; `settings` are its own."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    settings = {"max_length": MAX_TOKENS, "bf16": False, "gradient_checkpointing": False} | settings
    rows = settings.pop("rows", 8)
    spent: list[float] = []
    prepare = SFTTrainer._prepare_dataset

    def timed(*args: Any, **more: Any) -> Any:
        start = time.process_time()
        done = prepare(*args, **more)
        spent.append(time.process_time() - start)
        return done

    SFTTrainer._prepare_dataset = timed
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        args=SFTConfig(**common(run, steps, rows), completion_only_loss=True, **settings),
        train_dataset=Dataset.from_list(read_rows(folder / "trl.jsonl")),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )
    return _trained(trainer, sum(spent), folder)


def _trained(trainer: Any, preparation: float, folder: Path) -> Taken:
    """Count real tokens as batches come, and mark the clock after each step."""
    from transformers import TrainerCallback

    clock, seen = Clock(), [0, 0]
    step = trainer.training_step

    def counted(model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> Any:
        slots = inputs["input_ids"].numel()
        mask = inputs.get("attention_mask")
        seen[:] = [slots if mask is None else int(mask.sum()), slots]
        return step(model, inputs, *args, **more)

    class Marks(TrainerCallback):
        def on_step_end(self, *args: Any, **more: Any) -> None:
            clock.mark(*seen)

    trainer.training_step = counted
    trainer.add_callback(Marks())
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return taken(clock, preparation, trainer.model, folder, losses)


MEGABATCH_STEPS = 50
"""Rows are sorted by length in groups of 50 batches; that many steps are as a whole epoch."""

PACKED = {"packing": True, "packing_strategy": "bfd"}
TRL_SETTINGS: dict[str, dict[str, Any]] = {
    "trl grouped": {"train_sampling_strategy": "group_by_length"},
    "trl packed bfd 1x1024": PACKED | {"rows": 1},
    "trl packed bfd 2x1024": PACKED | {"rows": 2},
    "trl packed wrapped 2x1024": {"packing": True, "packing_strategy": "wrapped", "rows": 2},
    "trl padding-free": {"padding_free": True, "max_length": None},
    "trl padded": {},
    "trl literal defaults": {"bf16": True, "gradient_checkpointing": True},
}
TOKENS_PER_ROW = 170
NAMES = ["bare loop", "mmtune", "trainer grouped", *TRL_SETTINGS]


def steps_of(name: str, budget: int, megabatch: int) -> int:
    """Steps that take about `budget` real tokens; those grouped by length, a whole group."""
    if "grouped" in name:
        return WARMUP_STEPS + megabatch
    if "defaults" in name:
        return WARMUP_STEPS + 2
    settings = TRL_SETTINGS[name]
    tokens = 1024 * settings["rows"] if settings.get("packing") else 8 * TOKENS_PER_ROW
    return WARMUP_STEPS + -(-budget // tokens)


def run(name: str, folder: Path, budget: int, megabatch: int, run_folder: Path) -> Taken:
    own: dict[str, Callable[[Path, int, Path], Taken]] = {"bare loop": bare, "mmtune": mmtune}
    if name in own:
        return own[name](folder, budget, run_folder)
    steps = steps_of(name, budget, megabatch)
    if name == "trainer grouped":
        return grouped_trainer(folder, steps, run_folder)
    return trl(folder, steps, run_folder, TRL_SETTINGS[name])


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    which, where, tokens, group, out = sys.argv[1:]
    result = run(which, Path(where), int(tokens), int(group), Path(out) / "run")
    (Path(out) / "result.json").write_text(json.dumps(asdict(result)))
