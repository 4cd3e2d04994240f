"""Padding on either side, or anywhere: real tokens to the front for the recurrence, in either order, and back."""

import torch
from torch import nn


class RightPadding:
    """Where the real tokens of a padded batch stand, and how to bring them to the front and back.

    A recurrent layer must read sentences without holes: tokens are moved to the front, read, and moved back, so that
    left padding gives what right padding gives.

    Args:
        mask (`torch.Tensor` of shape `(B, S)`): non-zero where a source token stands.
        reverse (`bool`): at the front the tokens stand in reversed order, the last of the sentence first.
    """

    def __init__(self, mask: torch.Tensor, *, reverse: bool = False):
        self.mask = mask.bool()
        # one copy to the CPU, where packing wants the lengths
        mask_cpu = self.mask.cpu()
        lengths = mask_cpu.sum(1)
        is_full = bool((lengths == mask_cpu.shape[1]).all())
        is_on_the_right = bool((mask_cpu[:, 1:] <= mask_cpu[:, :-1]).all())
        self.has_empty_rows = bool((lengths == 0).any())
        # packing refuses rows without tokens: they read one padding token, which `clear_empty_rows` undoes
        self.lengths = None if is_full else lengths.clamp(min=1)
        places = torch.arange(mask_cpu.shape[1])
        # sorted by these numbers: real tokens in their order, or from the last to the first, then padding
        ranks = (-places if reverse else places) + 2 * len(places) * mask_cpu.logical_not()
        self.order = None if is_on_the_right and not reverse else ranks.argsort(dim=1).to(mask.device)

    def to_front(self, tensor: torch.Tensor) -> torch.Tensor:
        """Move the real tokens of `tensor` `(B, S, width)` to the front of their rows."""
        return tensor if self.order is None else _gather_steps(tensor, self.order)

    def to_place(self, tensor: torch.Tensor) -> torch.Tensor:
        """Undo `to_front`."""
        return tensor if self.order is None else _gather_steps(tensor, self.order.argsort(1))

    def clear_empty_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Set the rows of `tensor` `(B, ...)` that have no real token to 0."""
        if not self.has_empty_rows:
            return tensor
        is_empty = ~self.mask.any(1)
        return tensor.masked_fill(is_empty.view(-1, *[1] * (tensor.ndim - 1)), 0.0)


def join_neighbours(tensor: torch.Tensor, stride: int) -> torch.Tensor:
    """`(B, S, width)` as `(B, ceil(S / stride), stride * width)`, zeros behind the last.

    The pyramid of Chan et al. 2016, https://arxiv.org/abs/1508.01211, equation 5.
    """
    missing = -tensor.shape[1] % stride
    return nn.functional.pad(tensor, (0, 0, 0, missing)).unflatten(1, (-1, stride)).flatten(2)


def _gather_steps(tensor: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return tensor.gather(1, order[:, :, None].expand(-1, -1, tensor.shape[-1]))


__all__ = ["RightPadding", "join_neighbours"]
