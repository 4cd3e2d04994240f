"""Attention against its plain-loop twin, and what padding may do to it: nothing."""

import pytest
import torch

from hf_rnn_seq2seq.model.modeling_attention import AdditiveAttention, DotAttention, GeneralAttention
from tests import reference


@pytest.fixture(params=["dot", "general", "additive"])
def attention(request):
    torch.manual_seed(0)
    if request.param == "dot":
        return DotAttention(query_size=4, memory_size=4, scale=0.7).double()
    if request.param == "general":
        return GeneralAttention(query_size=4, memory_size=4, scale=0.7).double()
    return AdditiveAttention(query_size=4, memory_size=4, attention_size=3).double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_attention_equals_plain_loop(attention):
    query, memory = random(2, 3, 4), random(2, 5, 4)
    lengths = [5, 2]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    context, weights = attention(query, memory, attention.project_memory(memory), mask)
    expected_context, expected_weights = torch.zeros_like(context), torch.zeros_like(weights)
    for b, length in enumerate(lengths):
        for t in range(3):
            expected_context[b, t], expected_weights[b, t, :length] = reference.attend(
                attention, query[b, t], list(memory[b, :length])
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
    _, weights = attention(random(2, 1, 4), memory, attention.project_memory(memory), mask)
    assert weights[0, 0, 2] == 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, dtype=torch.float64))


def test_attention_over_padding_only_is_zero_with_finite_gradients(attention):
    memory = random(1, 3, 4)
    mask = torch.zeros(1, 3, dtype=torch.bool)
    context, weights = attention(random(1, 2, 4), memory, attention.project_memory(memory), mask)
    assert (weights == 0).all()
    assert (context == 0).all()
    context.sum().backward()
    assert memory.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_masks_in_half_precision(attention, dtype):
    attention = attention.to(dtype)
    memory = torch.randn(2, 3, 4, dtype=dtype)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    context, weights = attention(torch.randn(2, 1, 4, dtype=dtype), memory, attention.project_memory(memory), mask)
    assert weights[0, 0].tolist() == [1, 0, 0]
    assert context.dtype == dtype


def test_dot_attention_refuses_unequal_widths():
    with pytest.raises(ValueError, match="must be equal for dot attention, got 4 and 6"):
        DotAttention(query_size=4, memory_size=6)
