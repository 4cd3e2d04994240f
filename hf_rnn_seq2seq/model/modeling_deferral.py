"""Weight gradients of a loop over steps, as one matrix product after the loop's backward pass."""

import contextlib

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .modeling_fast_paths import compute_dtype, has_fast_paths
from .modeling_products import multiply, turn


def defer_weight_gradients(inputs: torch.Tensor, num_steps: int) -> contextlib.AbstractContextManager:
    """What to put around a loop over steps: [`DeferredWeightGradients`] where that helps.

    Args:
        inputs (`torch.Tensor`): of the loop.
        num_steps (`int`): how often it runs.
    """
    helps = num_steps > 1 and torch.is_grad_enabled() and has_fast_paths(inputs)
    return DeferredWeightGradients() if helps else contextlib.nullcontext()


class DeferredWeightGradients(TorchFunctionMode):
    """Within it, `F.linear` keeps its inputs, and the gradients of its outputs, until all steps are differentiated.

    Then the gradient of a weight is one product, in place of one for each step and a sum over the steps.
    """

    def __init__(self):
        super().__init__()
        self.layers = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is functional.linear and torch.is_grad_enabled():
            return self._apply_linear(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _apply_linear(self, input, weight, bias=None):
        # the vector of additive attention is no matrix worth keeping its inputs for
        if not weight.requires_grad or len(weight) == 1:
            return functional.linear(input, weight, bias)
        key = (weight, bias)
        if key not in self.layers:
            steps = _Steps()
            dtype = compute_dtype(input)
            self.layers[key] = steps, *_Weight.apply(steps, dtype, weight, bias)
        steps, weight, bias = self.layers[key]
        return _Step.apply(steps, input.to(weight.dtype), weight, bias)


class _Steps:
    """Inputs and output gradients of a layer's steps in one backward pass."""

    def __init__(self):
        self.task, self.pairs, self.turned = None, [], None

    def multiply_back(self, d_outputs, weight):
        """The gradient of a step's inputs; the weight is turned once for all steps."""
        self.turned = turn(weight) if self.turned is None else self.turned
        return multiply(d_outputs, self.turned)

    def add(self, inputs, d_outputs):
        task = torch._C._current_graph_task_id()
        # what an earlier pass left that did not ask for this weight
        if task != self.task:
            self.task, self.pairs = task, []
        self.pairs.append((inputs.flatten(0, -2), d_outputs.flatten(0, -2)))

    def take(self):
        pairs, self.pairs = self.pairs, []
        inputs, d_outputs = zip(*pairs, strict=True)
        return torch.cat(inputs), torch.cat(d_outputs)


class _Weight(torch.autograd.Function):
    """The weight as the steps use it; its backward comes after all of theirs."""

    @staticmethod
    def forward(ctx, steps, dtype, weight, bias):
        ctx.steps, ctx.dtype, ctx.has_bias = steps, weight.dtype, bias is not None
        ctx.set_materialize_grads(False)
        # views, since a function must not return what it was given
        bias = None if bias is None else bias.to(dtype).view_as(bias)
        return weight.to(dtype).view_as(weight), bias

    @staticmethod
    @once_differentiable
    def backward(ctx, d_weight, d_bias):
        inputs, d_outputs = ctx.steps.take()
        d_bias = d_outputs.sum(0).to(ctx.dtype) if ctx.has_bias else None
        return None, None, torch.mm(d_outputs.t(), inputs).to(ctx.dtype), d_bias


class _Step(torch.autograd.Function):
    """`W inputs + b` of one step."""

    @staticmethod
    def forward(ctx, steps, inputs, weight, bias):
        ctx.steps = steps
        ctx.save_for_backward(inputs, weight)
        return multiply(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_outputs):
        inputs, weight = ctx.saved_tensors
        ctx.steps.add(inputs, d_outputs)
        return None, ctx.steps.multiply_back(d_outputs, weight), None, None


__all__ = ["DeferredWeightGradients", "defer_weight_gradients"]
