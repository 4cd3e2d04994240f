"""Padding on either side, or anywhere: real tokens to the front for the recurrence, and back."""

import torch


class RightPadding:
    """Where the real tokens of a padded batch stand, and how to bring them to the front and back.

    A recurrent layer must read sentences without holes: tokens are moved to the front, read, and moved back, so that
    left padding gives what right padding gives.

    Args:
        mask (`torch.Tensor` of shape `(B, S)`): non-zero where a source token stands.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask.bool()
        # one copy to the CPU, where packing wants the lengths
        mask_cpu = self.mask.cpu()
        lengths = mask_cpu.sum(1)
        is_full = bool((lengths == mask_cpu.shape[1]).all())
        is_on_the_right = bool((mask_cpu[:, 1:] <= mask_cpu[:, :-1]).all())
        self.has_empty_rows = bool((lengths == 0).any())
        # packing refuses rows without tokens: they read one padding token, which `clear_empty_rows` undoes
        self.lengths = None if is_full else lengths.clamp(min=1)
        order = mask_cpu.logical_not().int().argsort(dim=1, stable=True)
        self.order = None if is_on_the_right else order.to(mask.device)

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


def _gather_steps(tensor: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return tensor.gather(1, order[:, :, None].expand(-1, -1, tensor.shape[-1]))


__all__ = ["RightPadding"]
