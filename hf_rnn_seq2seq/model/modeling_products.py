"""Matrix products and functions of entries, each by the faster of the ways that torch has on a CPU."""

import contextlib

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .modeling_fast_paths import is_plain_tensor

try:
    # oneDNN's product, which compiled models call; on some CPUs it takes half the time of BLAS, on none much more
    _onednn_linear = torch.ops.mkldnn._linear_pointwise.default
except AttributeError:
    _onednn_linear = None


def has_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """True where `multiply` has a faster way than torch's own."""
    is_float = dtype == torch.float32 and device.type == "cpu"
    return is_float and _onednn_linear is not None and torch.backends.mkldnn.enabled


def multiply(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """As `F.linear`, whose names these are, without gradients.

    Args:
        input (`torch.Tensor` of shape `(..., inner)`): rows to multiply.
        weight (`torch.Tensor` of shape `(columns, inner)`): as a linear layer has it.
        bias (`torch.Tensor` of shape `(columns)`, *optional*): added to every row.

    Returns:
        `torch.Tensor` of shape `(..., columns)`.
    """
    if _can_use_onednn(input, weight):
        return _onednn_linear(input, weight, bias, "none", [], "")
    return functional.linear(input, weight, bias)


def add_product(total: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`total += inputs weight'` of matrices, in place and without gradients.

    Args:
        total (`torch.Tensor` of shape `(rows, columns)`): also what is returned.
        inputs (`torch.Tensor` of shape `(rows, inner)`), weight (`torch.Tensor` of shape `(columns, inner)`): factors.
    """
    if _can_use_onednn(inputs, weight):
        return total.add_(_onednn_linear(inputs, weight, None, "none", [], ""))
    return total.addmm_(inputs, weight.t())


def turn(weight: torch.Tensor) -> torch.Tensor:
    """The last two dimensions exchanged, laid out as `multiply` likes it best."""
    weight = weight.transpose(-1, -2)
    return weight.contiguous() if has_onednn(weight.dtype, weight.device) else weight


def speed_up_linear(dtype: torch.dtype, device: torch.device) -> contextlib.AbstractContextManager:
    """What to put around linear layers without gradients: [`InferenceProducts`] where that helps.

    Args:
        dtype (`torch.dtype`), device (`torch.device`): of their weights.
    """
    return InferenceProducts() if has_onednn(dtype, device) else contextlib.nullcontext()


class InferenceProducts(TorchFunctionMode):
    """Within it, linear layers are computed by `multiply`; without gradients only."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        function = multiply if function is functional.linear else function
        return function(*args, **(kwargs or {}))


def _can_use_onednn(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    # with gaps between rows it takes a hundred times as long
    has_gaps = not (inputs.is_contiguous() and weight.is_contiguous())
    # which casts what `F.linear` is given
    is_cast = torch.is_autocast_enabled(inputs.device.type)
    return not has_gaps and not is_cast and is_plain_tensor(weight) and has_onednn(inputs.dtype, inputs.device)


def tanh_(tensor: torch.Tensor) -> torch.Tensor:
    """Hyperbolic tangent in place, as `2 sigmoid(2 x) - 1`: torch's takes two to four times as long.

    To the precision of numbers near 1: relative to themselves, small ones have fewer digits.
    """
    # half a precision cannot tell apart what the sigmoid has left of small numbers
    wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return torch.add(-1, wide.mul_(2).sigmoid_(), alpha=2, out=tensor)


__all__ = ["InferenceProducts", "add_product", "has_onednn", "multiply", "speed_up_linear", "tanh_", "turn"]
