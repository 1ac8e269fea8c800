"""`final/`: what plain transformers loads, with a card that says where it came from."""

import os
import shutil
from pathlib import Path
from typing import Any

from mmtune import __version__
from mmtune.config.load import recipe_hash
from mmtune.families.model_card import CardFacts, CardSource, model_card
from mmtune.training.checkpoint import whole_weights
from mmtune.workflows.dataset import hashes_by_source
from mmtune.workflows.session import Session


def export(session: Session, report: dict[str, Any]) -> None:
    """Write `final/` from the weights as they are; all ranks call it, the first writes."""
    whole = None
    if not session.can_generate:
        names = whole_weights(session.model)
        whole = {name.removeprefix("model."): tensor for name, tensor in names.items()}
    if session.main:
        aside, final = session.folder / f"final.tmp-{os.getpid()}", session.folder / "final"
        session.family.save(session.loaded, aside, whole)
        (aside / "README.md").write_text(model_card(_facts(session, report)), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        os.replace(aside, final)  # half a model never looks whole
    session.accelerator.wait_for_everyone()


def _facts(session: Session, report: dict[str, Any]) -> CardFacts:
    recipe = session.recipe
    local = Path(recipe.model.path).exists()
    material, best = session.material, session.chosen
    hashes = hashes_by_source(material.store) if material.store is not None else {}
    sources = [
        CardSource(name=c.source, rows=c.seen, used=c.kept, sha256=hashes.get(c.source, "streamed"))
        for c in material.accounts.counts.values()
    ]
    section = recipe.train
    settings: dict[str, str | int | float | bool] = {
        "train.seed": section.seed,
        "train.batch": f"{section.batch.count} {section.batch.kind}",
        "train.learning_rate": section.learning_rate,
        "train.final_learning_rate": section.final_learning_rate,
        "train.schedule": section.schedule,
        "train.weight_decay": section.weight_decay,
        "micro-batch pieces": session.feed.pieces,
        "steps": best.step if best else session.progress.step,
        "model.adapter.kind": recipe.model.adapter.kind,
        "model.residual_dropout": recipe.model.residual_dropout,
        "data.max_tokens": recipe.data.max_tokens,
    }
    metrics = {
        f"test {when} tuning": report[when]["mean"]
        for when in ("before", "after")
        if when in report
    }
    if best:
        metrics |= {
            k: v for k, v in (("dev loss", best.loss), ("dev score", best.score)) if v is not None
        }
    return CardFacts(
        name=session.folder.name,
        base_model=Path(recipe.model.path).name if local else recipe.model.path,
        base_revision=""
        if local or recipe.model.path.startswith("pocket:")
        else recipe.model.revision,
        hub_id=not local and not recipe.model.path.startswith("pocket:"),
        sources=sources,
        recipe_sha256=recipe_hash(recipe),
        settings=settings,
        metrics=metrics,
        pairs=session.loaded.chat_format.pairs,
        version=__version__,
    )
