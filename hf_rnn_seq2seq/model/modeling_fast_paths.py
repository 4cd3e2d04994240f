"""When the faster of two ways to compute the same is taken."""

import os

import torch

SWITCH = "RNN_SEQ2SEQ_FAST_PATHS"


def has_fast_paths(tensor: torch.Tensor) -> bool:
    """True where a hand-written path may stand in for the plain one: on CPUs, in eager mode.

    The environment variable `RNN_SEQ2SEQ_FAST_PATHS=0` switches all of them off; results differ by rounding only.
    Second derivatives exist without them only.

    Args:
        tensor (`torch.Tensor`): one of those to be computed with.
    """
    if tensor.device.type != "cpu" or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return os.environ.get(SWITCH, "1") != "0"


def compute_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The type that matrix products of `tensor` are computed in: autocast's where it is on, else its own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


__all__ = ["SWITCH", "compute_dtype", "has_fast_paths"]
