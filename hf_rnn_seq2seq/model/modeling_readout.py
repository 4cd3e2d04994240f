"""From decoder state and context to the features that the output layer reads."""

import torch
from torch import nn


class Readout(nn.Module):
    """Features before the output layer: `tanh(W [parts])`.

    With parts (context, state): Luong et al. 2015, equation 5. With the previous target embedding as a third part:
    the deep output of Bahdanau et al. 2015, appendix A.2.2, with tanh in place of maxout.

    Args:
        part_sizes (`list[int]`): widths of the parts.
        readout_size (`int`): width of the features, R.
    """

    def __init__(self, *, part_sizes: list[int], readout_size: int):
        super().__init__()
        self.proj = nn.Linear(sum(part_sizes), readout_size)

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Features `(B, T, R)` from parts `(B, T, size)`."""
        return torch.tanh(self.proj(torch.cat(parts, dim=-1)))


__all__ = ["Readout"]
