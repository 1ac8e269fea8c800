"""The output layer of a causal language model: its weight, its bias, what a layout does to both."""

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from mmtune.errors import ModelError
from mmtune.families.embeddings import output_head


def head_parameters(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    """Weight [vocabulary, width] and bias [vocabulary] of the head, differentiable.

    Read through the module each time: where an adapter trains the rows of added tokens, `weight`
    is computed from them.
    """
    head = output_head(model)
    if head is None or not isinstance(getattr(head, "weight", None), Tensor):
        raise ModelError(
            f"the output layer of {type(model).__name__} is a {type(head).__name__}: only a plain "
            "linear one can be trained; leave it out of model.adapter.target_modules"
        )
    return head.weight, getattr(head, "bias", None)


def hidden_scale(config: PretrainedConfig) -> float:
    """What the layout multiplies logits by (Granite divides, Cohere and T5 multiply), applied to
    the hidden states instead."""
    scaled = config.model_type == "umt5" and config.tie_word_embeddings
    if getattr(config, "scale_decoder_outputs", scaled):  # T5 whose head is its embeddings
        return float(config.d_model**-0.5)
    if divisor := getattr(config, "logits_scaling", None):
        return 1.0 / divisor
    return getattr(config, "logit_scale", None) or 1.0


@torch.no_grad()
def verify_head(model: PreTrainedModel) -> None:
    """Raise ModelError unless hidden states times head are the model's own logits."""
    weight, bias = head_parameters(model)
    ids = torch.arange(6, device=weight.device)[None]
    was_training = model.training
    model.eval()
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    logits = nn.functional.linear(hidden * hidden_scale(model.config), weight, bias)
    if cap := getattr(model.config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    own = model(input_ids=ids, use_cache=False).logits
    model.train(was_training)
    error = (logits - own).float().norm() / own.float().norm().clamp_min(1e-12)
    if not error < (1e-3 if own.dtype == torch.float32 else 5e-2):
        raise ModelError(
            f"{type(model).__name__} makes its logits in a way that mmtune does not know (they "
            f"differ by {error:.1%} from head x hidden states); this layout cannot be trained yet"
        )
