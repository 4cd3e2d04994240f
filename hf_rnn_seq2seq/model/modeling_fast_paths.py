"""When the faster of two ways to compute the same is taken."""

import os

import torch
from torch import nn

SWITCH = "RNN_SEQ2SEQ_FAST_PATHS"


def has_fast_paths(tensor: torch.Tensor) -> bool:
    """True where a hand-written path may stand in for the plain one: on CPUs, in eager mode.

    The environment variable `RNN_SEQ2SEQ_FAST_PATHS=0` switches all of them off. Then results differ by rounding, and
    in training dropout draws other numbers. Only without fast paths are there second derivatives, several backward
    passes as one batch (`is_grads_batched`), and checkpointing of a module within a decoder's loop over steps.

    Args:
        tensor (`torch.Tensor`): one of those to be computed with.
    """
    if tensor.device.type != "cpu" or tensor.numel() == 0:
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return os.environ.get(SWITCH, "1") != "0"


def is_as_built(module: nn.Module, *classes: type[nn.Module]) -> bool:
    """True if a path around `module` computes what calling it would: nobody has changed what it does.

    Pruning and observers hang hooks on it, parametrisation and quantisation change its class, quantisation also those
    of its weights, and offloading puts another `forward` in the place of its own. So does Accelerate's autocast, which
    does not count: it is for training, and what is computed without it is nearer the truth.

    Args:
        module (`nn.Module`): to go around.
        classes (`type`, *optional*): what it was built as; any if not given.
    """
    attributes = vars(module)
    has_other_forward = "forward" in attributes and "_original_forward" not in attributes
    if has_other_forward or (classes and type(module) not in classes):
        return False
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        return False
    return all(is_plain_tensor(parameter) for parameter in module.parameters(recurse=False))


def is_plain_tensor(tensor: torch.Tensor) -> bool:
    """False for tensors of classes of their own, such as quantised weights."""
    return type(tensor) in (torch.Tensor, nn.Parameter)


def compute_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The type that matrix products of `tensor` are computed in: autocast's where it is on, else its own."""
    kind = tensor.device.type
    # autocast leaves float64 alone
    is_cast = torch.is_autocast_enabled(kind) and tensor.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if is_cast else tensor.dtype


__all__ = ["SWITCH", "compute_dtype", "has_fast_paths", "is_as_built", "is_plain_tensor"]
