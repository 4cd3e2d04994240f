"""Steps of cells with a backward pass written by hand; twins of those in `modeling_steps.py`."""

import torch
from torch.autograd.function import once_differentiable

from .modeling_products import tanh_

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LstmStep(torch.autograd.Function):
    """As `lstm_step`: `apply(projected, recurrent, hidden, cell)`."""

    @staticmethod
    def forward(ctx, projected, recurrent, hidden, cell):
        gates, size = projected + recurrent, cell.shape[-1]
        gates[..., : 2 * size].sigmoid_()
        tanh_(gates[..., 2 * size : 3 * size])
        gates[..., 3 * size :].sigmoid_()
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        new_cell = forget_gate * cell
        new_cell.add_(input_gate * candidate)
        shown = tanh_(new_cell.clone())
        ctx.save_for_backward(gates, cell, shown)
        return output_gate * shown, new_cell

    @staticmethod
    @once_differentiable
    def backward(ctx, d_hidden, d_cell):
        gates, cell, shown = ctx.saved_tensors
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        d_cell = d_cell + torch.ops.aten.tanh_backward(d_hidden * output_gate, shown)
        d_gates, slope = torch.empty_like(gates), d_cell.to(gates.dtype)
        parts = d_gates.chunk(4, dim=-1)
        _sigmoid_backward(slope * candidate, input_gate, grad_input=parts[0])
        _sigmoid_backward((d_cell * cell).to(gates.dtype), forget_gate, grad_input=parts[1])
        _tanh_backward(slope * input_gate, candidate, grad_input=parts[2])
        _sigmoid_backward((d_hidden * shown).to(gates.dtype), output_gate, grad_input=parts[3])
        return d_gates, d_gates, None, d_cell * forget_gate


class GruStep(torch.autograd.Function):
    """As `gru_step`: `apply(projected, recurrent, hidden)`."""

    @staticmethod
    def forward(ctx, projected, recurrent, hidden):
        size = hidden.shape[-1]
        both = (projected[..., : 2 * size] + recurrent[..., : 2 * size]).sigmoid_()
        reset_gate, update_gate = both.chunk(2, dim=-1)
        gated = recurrent[..., 2 * size :]
        candidate = tanh_(torch.addcmul(projected[..., 2 * size :], reset_gate, gated))
        ctx.save_for_backward(both, candidate, gated, hidden)
        return (candidate + update_gate * (hidden - candidate),)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_hidden):
        both, candidate, gated, hidden = ctx.saved_tensors
        reset_gate, update_gate = both.chunk(2, dim=-1)
        size, dtype = hidden.shape[-1], candidate.dtype
        d_projected = both.new_empty(*both.shape[:-1], 3 * size)
        parts = d_projected.chunk(3, dim=-1)
        d_candidate = _tanh_backward((d_hidden * (1 - update_gate)).to(dtype), candidate, grad_input=parts[2])
        _sigmoid_backward(d_candidate * gated, reset_gate, grad_input=parts[0])
        _sigmoid_backward((d_hidden * (hidden - candidate)).to(dtype), update_gate, grad_input=parts[1])
        d_recurrent = d_projected.clone()
        d_recurrent[..., 2 * size :].mul_(reset_gate)
        return d_projected, d_recurrent, d_hidden * update_gate


# those with enough to win
FAST_STEPS = {"lstm": LstmStep, "gru": GruStep}

__all__ = ["FAST_STEPS", "GruStep", "LstmStep"]
