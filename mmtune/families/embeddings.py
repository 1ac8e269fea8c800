"""Rows of a model's vocabulary: room for tokens that were added to its tokenizer."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mmtune.errors import ModelError


def resize_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, added: Sequence[int] = ()
) -> list[int]:
    """Give every token id of the tokenizer its rows; the ids whose rows were set anew, sorted.

    The model grows only where the tokenizer has ids past its last row, and never shrinks
    (checkpoints are often padded to a round number of rows). `added` names tokens that the caller
    put into the tokenizer: in a padded checkpoint they have rows already, which were never trained.
    Both `config.vocab_size` and tied heads follow.

    New input and output rows are the mean of the rows of the old tokens: a random row, its logit
    now and then far above all others, changes what the model says anywhere, while a mean row gets
    no more than about an average token's share (Hewitt 2021, "Initializing New Word Embeddings for
    Pretrained Language Models"). The plain mean and not a draw around it, so that it needs no seed.

        320 rows, tokenizer with ids to 319, "<|eot|>" added as 320  ->  [320], 321 rows

    Raises ModelError when ids past the last row were not added to the tokenizer: it belongs to
    another model.
    """
    rows = _input_embeddings(model).weight.shape[0]
    ids = set(tokenizer.get_vocab().values())
    beyond = {token_id for token_id in ids if token_id >= rows}
    strangers = beyond - set(tokenizer.get_added_vocab().values())
    if strangers:
        raise ModelError(
            f"model.path: the tokenizer has {len(ids)} tokens, {len(strangers)} of them past the "
            f"{rows} embedding rows of {type(model).__name__} and none of those an added token: "
            "tokenizer and weights are of two models; use the tokenizer the weights came with"
        )
    fresh = sorted(beyond | set(added))
    if beyond:
        with torch.random.fork_rng(devices=[]):  # the rows that are drawn here are overwritten
            model.resize_token_embeddings(max(beyond) + 1, mean_resizing=False)
    _set_to_mean(model, fresh, sorted(ids - set(fresh)))
    return fresh


def _set_to_mean(model: PreTrainedModel, fresh: list[int], old: list[int]) -> None:
    if not fresh:
        return
    with torch.no_grad():
        for rows in _vocabulary_tensors(model):
            mean = rows[torch.tensor(old, device=rows.device)].double().mean(0)
            rows[torch.tensor(fresh, device=rows.device)] = mean.to(rows.dtype)


def _vocabulary_tensors(model: PreTrainedModel) -> Iterator[Tensor]:
    """Everything with a row for each token; a head that is tied to the input comes once."""
    embeddings, head = _input_embeddings(model), output_head(model)
    yield embeddings.weight
    if head is None:
        return
    if head.weight is not embeddings.weight:
        yield head.weight
    if getattr(head, "bias", None) is not None:
        yield head.bias


def output_head(model: PreTrainedModel) -> Any:
    """The module with `weight` [vocabulary, width] (a Linear, or what peft made of it), or None."""
    return model.get_output_embeddings()


def _input_embeddings(model: PreTrainedModel) -> nn.Embedding:
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return embeddings
