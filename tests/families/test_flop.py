"""The formula of a step's arithmetic against a count of the operations that truly run."""

import pytest
import torch
from tiny import tiny_model
from torch.utils.flop_counter import FlopCounterMode

from mmtune.families.flop import MatmulSizes, matmul_sizes, step_flop


@pytest.mark.parametrize("frozen", [False, True])
def test_the_formula_is_the_count_of_forward_and_backward(frozen: bool) -> None:
    network = tiny_model("llama", num_key_value_heads=4)
    network.set_attn_implementation("eager")
    if frozen:
        for layer in network.model.layers:
            layer.mlp.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        network(torch.arange(24)[None] % 11, use_cache=False).logits.sum().backward()
    sizes = matmul_sizes(network)
    # Rotary angles are a product of matrices too, of a few operations.
    assert step_flop(sizes, [24], 24) == pytest.approx(counter.get_total_flops(), rel=2e-3)


def test_documents_do_not_pay_for_each_other_and_unlearnt_tokens_not_for_the_head() -> None:
    sizes = MatmulSizes(
        body=100, head=50, body_trained=100, head_trained=50, layers=2, attention_width=3
    )
    assert step_flop(sizes, [4, 6], 5) == 600 * 10 + 300 * 5 + 12 * 6 * (16 + 36)
