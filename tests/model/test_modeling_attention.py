"""Attention against its plain-loop twin, and what padding may do to it: nothing."""

import pytest
import torch

from hf_rnn_seq2seq.model.modeling_attention import (
    AdditiveAttention,
    DotAttention,
    FixedContext,
    GeneralAttention,
    MultiHeadDotAttention,
)
from tests import reference

SIZES = {"query_size": 4, "memory_size": 4}
LOCATION = {"feedback": "location", "location_channels": 2, "location_kernel_size": 3}
KINDS = {
    "dot": lambda: DotAttention(**SIZES, scale=0.7),
    "general": lambda: GeneralAttention(**SIZES, scale=0.7),
    "heads_dot": lambda: MultiHeadDotAttention(**SIZES, attention_size=6, scale=0.7, num_heads=2),
    "additive": lambda: AdditiveAttention(**SIZES, attention_size=3),
    "normalized": lambda: AdditiveAttention(**SIZES, attention_size=3, normalized=True),
    "heads_additive": lambda: AdditiveAttention(**SIZES, attention_size=6, num_heads=2),
    "heads_normalized": lambda: AdditiveAttention(**SIZES, attention_size=6, num_heads=2, normalized=True),
    "coverage": lambda: AdditiveAttention(**SIZES, attention_size=3, feedback="coverage"),
    "location": lambda: AdditiveAttention(**SIZES, attention_size=3, **LOCATION),
    "local_general": lambda: GeneralAttention(**SIZES, window=1),
    "local_additive": lambda: AdditiveAttention(**SIZES, attention_size=3, window=2),
}


@pytest.fixture(params=KINDS)
def attention(request):
    torch.manual_seed(0)
    return KINDS[request.param]().double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_attention_equals_plain_loop(attention):
    query, memory = random(2, 3, 4), random(2, 5, 4)
    lengths = [5, 2]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    context, weights, _ = attention(query, *attention.project_memory(memory, mask))
    expected_context, expected_weights = torch.zeros_like(context), torch.zeros_like(weights)
    for b, length in enumerate(lengths):
        past = None
        for t in range(3):
            expected_context[b, t], expected_weights[b, :, t, :length], past = reference.attend(
                attention, query[b, t], list(memory[b, :length]), past
            )
    torch.testing.assert_close(context, expected_context, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-12)
    probe = torch.randn_like(context)
    tensors = [query, memory, *attention.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad((context * probe).sum(), tensors),
        torch.autograd.grad((expected_context * probe).sum(), tensors),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_attention_gives_padding_no_weight(attention):
    memory = random(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    _, weights, _ = attention(random(2, 1, 4), *attention.project_memory(memory, mask))
    assert (weights[0, :, 0, 2] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_attention_over_padding_only_is_zero_with_finite_gradients(attention):
    memory = random(1, 3, 4)
    mask = torch.zeros(1, 3, dtype=torch.bool)
    context, weights, _ = attention(random(1, 2, 4), *attention.project_memory(memory, mask))
    assert (weights == 0).all()
    assert (context == 0).all()
    context.sum().backward()
    assert memory.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_masks_in_half_precision(attention, dtype):
    attention = attention.to(dtype)
    memory = torch.randn(2, 3, 4, dtype=dtype)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    context, weights, _ = attention(torch.randn(2, 1, 4, dtype=dtype), *attention.project_memory(memory, mask))
    assert all(head.tolist() == [1, 0, 0] for head in weights[0, :, 0])
    assert context.dtype == dtype


def test_dot_attention_refuses_unequal_widths():
    with pytest.raises(ValueError, match="must be equal for dot attention, got 4 and 6"):
        DotAttention(query_size=4, memory_size=6)


def test_feedback_goes_on_from_earlier_weights():
    attention = KINDS["coverage"]().double()
    memory = attention.project_memory(random(2, 5, 4))
    query = random(2, 3, 4)
    whole = attention(query, *memory)
    _, _, past_weights = attention(query[:, :1], *memory)
    rest = attention(query[:, 1:], *memory, past_weights)
    torch.testing.assert_close(rest[1], whole[1][:, :, 1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(rest[2], whole[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(whole[2], whole[1][:, 0].sum(1), rtol=0, atol=1e-12)


def test_luongs_concat_is_additive_attention():
    attention = KINDS["additive"]().double()
    query, memory = random(1, 1, 4), random(1, 5, 4)
    w = torch.cat([attention.query_proj.weight, attention.memory_proj.weight], dim=1)
    pairs = torch.cat([query.expand(-1, 5, -1), memory], dim=-1)
    energies = torch.tanh(pairs @ w.T + attention.query_proj.bias) @ attention.energy_vector
    _, weights, _ = attention(query, *attention.project_memory(memory))
    torch.testing.assert_close(weights[0, 0], energies.softmax(-1), rtol=0, atol=1e-12)


def test_fixed_context_is_the_same_for_all_queries():
    attention = FixedContext(memory_size=3).double()
    final = random(2, 1, 3)
    context, weights, _ = attention(random(2, 4, 5), *attention.project_memory(final))
    assert weights is None
    expected = torch.stack([torch.tanh(attention.proj.weight @ final[row, 0]) for row in range(2)])
    for step in range(4):
        torch.testing.assert_close(context[:, step], expected, rtol=0, atol=1e-12)
