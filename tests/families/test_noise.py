import pytest
import torch
from tiny import KINDS, WIDTH, tiny_model

from mmtune.families.noise import neftune_noise, noisy_embeddings

DIM = 16


def noise(lengths, keys, dim=DIM, alpha=5.0, **kwargs):
    return neftune_noise(torch.tensor(lengths), torch.tensor(keys), dim=dim, alpha=alpha, **kwargs)


def test_packing_and_order_change_no_documents_noise():
    a, b, c = noise([7], [11]), noise([3], [-5]), noise([9], [2**62])
    assert torch.equal(noise([7, 3, 9], [11, -5, 2**62]), torch.cat([a, b, c]))
    assert torch.equal(noise([9, 7, 3], [2**62, 11, -5]), torch.cat([c, a, b]))


def test_the_bound_is_alpha_over_the_root_of_own_length_times_width():
    packed = noise([4000, 50], [1, 2], alpha=3.0)
    for rows, length in ((packed[:4000], 4000), (packed[4000:], 50)):
        scaled = rows * (length * DIM) ** 0.5 / 3.0
        assert 0.97 < scaled.abs().max() <= 1.0


def test_noise_is_uniform_and_uncorrelated():
    values = noise([20_000], [42], dim=9) * (20_000 * 9) ** 0.5 / 5.0
    n = values.numel()
    assert abs(values.mean()) < 4 * (1 / 3 / n) ** 0.5
    assert abs(values.square().mean() - 1 / 3) < 4 * (4 / 45 / n) ** 0.5
    counts = torch.histc(values, bins=20, min=-1, max=1)
    chi_square = ((counts - n / 20).square() / (n / 20)).sum()
    assert chi_square < 50  # 19 degrees of freedom: p < 1e-4
    correlations = torch.corrcoef(values.T) - torch.eye(9)
    assert correlations.abs().max() < 5 / 20_000**0.5
    assert abs((values[1:] * values[:-1]).mean()) < 5 / 3 / n**0.5


def test_neighbouring_keys_give_unrelated_noise():
    one, other = noise([5000], [7]), noise([5000], [8])
    together = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
    assert abs(together) < 5 / one.numel() ** 0.5


def test_keys_a_counters_step_apart_do_not_give_the_same_noise_shifted():
    step = 0x9E3779B97F4A7C15 - 2**64
    one, other = noise([51], [7]) * 51**0.5, noise([50], [7 + step]) * 50**0.5
    assert not torch.isclose(one[1:], other, atol=1e-5).all(dim=1).any()


def test_type_and_odd_width_are_as_asked():
    assert noise([2, 1], [1, 2], dim=7, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert noise([2, 1], [1, 2], dim=7).shape == (3, 7)
    narrow, wide = noise([4], [3], dim=7) * 7**0.5, noise([4], [3], dim=8) * 8**0.5
    assert torch.allclose(narrow, wide[:, :7])


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_arrives_at_the_embeddings_of_one_forward_in_train_mode(kind):
    model = tiny_model(kind)
    ids = torch.arange(10).view(2, 5)
    extra = noise([5, 5], [1, 2], dim=WIDTH)
    seen = []
    embeddings = model.get_input_embeddings()
    plain = embeddings(ids)
    clean = model(ids, use_cache=False).logits
    with noisy_embeddings(model, extra):
        assert torch.equal(model(ids, use_cache=False).logits, clean)
        model.train()
        handle = embeddings.register_forward_hook(lambda m, i, out: seen.append(out))
        noisy = model(ids, use_cache=False).logits
        handle.remove()
    assert torch.allclose(seen[0] - plain, extra.view(2, 5, WIDTH), atol=1e-6)
    assert not torch.allclose(noisy, clean)
    assert torch.equal(model(ids, use_cache=False).logits, clean)


def test_noise_of_another_size_is_a_mistake_and_the_model_is_left_clean():
    model = tiny_model("llama").train()
    with (
        pytest.raises(ValueError, match="does not fit"),
        noisy_embeddings(model, noise([4], [1], dim=WIDTH)),
    ):
        model(torch.arange(5)[None], use_cache=False)
    assert not model.get_input_embeddings()._forward_hooks
