"""Dropout of entries, drawn for each step or once for a sequence, and of whole tokens."""

import torch
from torch import nn

from .modeling_fast_paths import has_fast_paths


class SequenceDropout(nn.Module):
    """Dropout of entries of `(B, T, width)`.

    Args:
        p (`float`): probability of dropping an entry.
        per_sequence (`bool`): drop the same entries in all steps of a sequence (variational dropout, Gal and
            Ghahramani 2016, https://arxiv.org/abs/1512.05287, section 4), not others in every step.
    """

    def __init__(self, p: float, *, per_sequence: bool = False):
        super().__init__()
        self.p, self.per_sequence = p, per_sequence

    def extra_repr(self) -> str:
        return f"p={self.p}, per_sequence={self.per_sequence}"

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Drop entries of `inputs` `(B, T, width)` in training."""
        # CODEPATH: the same for all steps in variational dropout; drawn faster than torch does on CPUs
        if self.per_sequence or has_fast_paths(inputs):
            mask = self.draw(inputs, inputs.shape[1], inputs.shape[2])
            return inputs if mask is None else inputs * mask
        return nn.functional.dropout(inputs, self.p, self.training)

    def draw(self, like: torch.Tensor, num_steps: int, width: int) -> torch.Tensor | None:
        """Factors `(B, T, width)` for a loop over steps, drawn at once; None where nothing is dropped.

        Args:
            like (`torch.Tensor` of shape `(B, ...)`): whose batch, type and device to take.
        """
        if not self.training or self.p == 0:
            return None
        shape = torch.Size((len(like), 1 if self.per_sequence else num_steps, width))
        if has_fast_paths(like):
            mask = _draw_factors(shape, self.p, like.dtype)
        else:
            mask = nn.functional.dropout(like.new_ones(shape), self.p)
        return mask.expand(-1, num_steps, -1)


def _draw_factors(shape: torch.Size, p: float, dtype: torch.dtype) -> torch.Tensor:
    """0 with probability p, to 16 bits, and what makes the mean 1 elsewhere: four entries from one random number."""
    num_dropped = round(p * 2**16)
    if num_dropped == 2**16:
        return torch.zeros(shape, dtype=dtype)
    numbers = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    is_kept = numbers[: shape.numel()].view(shape) >= num_dropped - 2**15
    return is_kept.to(dtype).mul_(2**16 / (2**16 - num_dropped))


class WordDropout(nn.Module):
    """Sets whole tokens of `(B, T, width)` to 0 in training (Sennrich et al. 2016, https://arxiv.org/abs/1606.02891).

    Args:
        p (`float`): probability of dropping a token; the others are scaled by `1 / (1 - p)`.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, embeds: torch.Tensor) -> torch.Tensor:
        """Drop tokens of `embeds` `(B, T, width)`."""
        if not self.training or self.p == 0:
            return embeds
        return embeds * nn.functional.dropout(embeds.new_ones(*embeds.shape[:2], 1), self.p)


__all__ = ["SequenceDropout", "WordDropout"]
