"""From the encoder's final state to the decoder's start state."""

import torch
from torch import nn

from .modeling_recurrence import State


class Bridge(nn.Module):
    """Start state of the decoder from the final state of the encoder's top layer.

    Hidden: `tanh(W h + b)`, as Bahdanau et al. 2015, appendix A.2.2, but from both directions. Cell, which is not
    bounded: `W c + b`. Every decoder layer has its own W and b.

    Args:
        memory_size (`int`): width of the encoder's final state, M.
        hidden_size (`int`): width of a decoder layer's state, H.
        num_layers (`int`): number of decoder layers, L.
        has_cell (`bool`): True for LSTM.
    """

    def __init__(self, *, memory_size: int, hidden_size: int, num_layers: int, has_cell: bool):
        super().__init__()
        self.hidden_proj = nn.Linear(memory_size, num_layers * hidden_size)
        self.cell_proj = nn.Linear(memory_size, num_layers * hidden_size) if has_cell else None
        self.num_layers = num_layers

    def forward(self, final_hidden: torch.Tensor, final_cell: torch.Tensor | None) -> list[State]:
        """Start states, one for each decoder layer, from final states of shape `(B, L_encoder, M)`."""
        tensors = [torch.tanh(self.hidden_proj(final_hidden[:, -1]))]
        if self.cell_proj is not None:
            tensors.append(self.cell_proj(final_cell[:, -1]))
        return list(zip(*(tensor.chunk(self.num_layers, dim=-1) for tensor in tensors), strict=True))


__all__ = ["Bridge"]
