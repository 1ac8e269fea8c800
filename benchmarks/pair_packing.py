"""Training speed of an encoder-decoder, packed against padded, on this machine.

    python benchmarks/pair_packing.py [--threads 1] [--rows 400]

A T5 of 8 M parameters (FLAN-T5's layout) and pairs with lengths as FLAN's: prompts of 90 tokens in
the median, some of several hundred, targets mostly short. Prints real tokens per second of forward
and backward, and what part of the slots was padding.
"""

import argparse
import time

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM, T5Config

from mmtune.config.recipe import Batching
from mmtune.encoding.pairs import pack_pairs, pad_pairs
from mmtune.encoding.samples import TokenSample
from mmtune.encoding.schedule import rows_of
from mmtune.families.pair_attention import set_pair_attention
from mmtune.families.pair_model import PairModel
from mmtune.objectives.next_token import next_token

WAYS = [
    ("packed", "documents"),
    ("packed", "sdpa"),
    ("padded", "sdpa"),
    ("length_grouped", "sdpa"),
]


def samples(count: int) -> list[TokenSample]:
    rng = np.random.default_rng(0)
    prompts = np.clip(np.exp(rng.normal(4.5, 0.7, count)), 8, 700).astype(int)
    targets = np.clip(np.exp(rng.normal(1.8, 1.1, count)), 1, 200).astype(int)
    return [
        TokenSample(
            rng.integers(3, 8000, prompt + target, dtype=np.int32),
            np.arange(prompt + target) >= prompt,
            str(number),
            "flan",
        )
        for number, (prompt, target) in enumerate(zip(prompts, targets, strict=True))
    ]


def model(attention: str) -> PairModel:
    config = T5Config(
        vocab_size=8192, d_model=256, d_kv=32, d_ff=640, num_layers=4, num_heads=8,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForSeq2SeqLM.from_config(config)
    set_pair_attention(network, attention, torch.device("cpu"))
    return PairModel(network, 0)


def measured(kind: str, attention: str, pairs: list[TokenSample]) -> tuple[float, float]:
    """Real tokens per second, and the part of slots that was padding."""
    lengths = np.array([len(pair.ids) for pair in pairs])
    rows = rows_of(lengths, Batching(kind=kind, row_tokens=2048))  # type: ignore[arg-type]
    batches = []
    for row in rows:
        chosen = [pairs[number] for number in row.tolist()]
        keys = [0] * len(chosen)
        packed = kind == "packed"
        batches.append(pack_pairs(chosen, keys) if packed else pad_pairs(chosen, keys, 0))
    network = model(attention)
    start = time.perf_counter()
    for number, batch in enumerate(batches):
        if number == 1:  # the first one warms up
            start = time.perf_counter()
        next_token(network, batch).sum().backward()
        network.zero_grad(set_to_none=True)
    seconds = time.perf_counter() - start
    tokens = sum(batch.num_tokens for batch in batches)
    slots = sum(batch.inputs.numel() + batch.ids.numel() for batch in batches)
    return (tokens - batches[0].num_tokens) / seconds, 1 - tokens / slots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pairs = samples(arguments.rows)
    for kind, attention in WAYS:
        speed, padding = measured(kind, attention, pairs)
        print(f"{kind:>15} {attention:<10} {speed:8,.0f} tokens/s   padding {padding:6.1%}")


if __name__ == "__main__":
    main()
