"""From the encoder's final state to the decoder's start state."""

import torch
from torch import nn

from .modeling_steps import State


class Bridge(nn.Module):
    """Start states of all decoder layers.

    - `"zeros"`: zeros.
    - `"copy"`: each decoder layer starts where the encoder layer of its number ended (Sutskever et al. 2014).
    - `"dense"`: `W h + b` of the encoder's top layer; every decoder layer has its own W and b.
    - `"dense_tanh"`: `tanh(W h + b)` (Bahdanau et al. 2015, appendix A.2.2). A cell, which is not bounded: `W c + b`.

    Args:
        bridge_type (`str`): one of these.
        input_size (`int`): width of the encoder's final state.
        hidden_size (`int`): width of a decoder layer's state, H.
        num_layers (`int`): number of decoder layers, L.
        has_cell (`bool`): True for LSTM.
        cell_from_hidden (`bool`): start cells equal start hiddens (Marian, JoeyNMT), not made of the encoder's cells.
    """

    def __init__(
        self,
        *,
        bridge_type: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        has_cell: bool,
        cell_from_hidden: bool = False,
    ):
        super().__init__()
        self.bridge_type, self.hidden_size, self.num_layers = bridge_type, hidden_size, num_layers
        self.has_cell, self.needs_cell = has_cell, has_cell and bridge_type != "zeros" and not cell_from_hidden
        is_dense = bridge_type.startswith("dense")
        self.hidden_proj = nn.Linear(input_size, num_layers * hidden_size) if is_dense else None
        self.cell_proj = nn.Linear(input_size, num_layers * hidden_size) if is_dense and self.needs_cell else None

    def forward(self, hidden: torch.Tensor, cell: torch.Tensor | None) -> list[State]:
        """Start states, one for each decoder layer, from final states of shape `(B, L_encoder, width)`."""
        # CODEPATH: zeros (gnmt2016), copy (sutskever2014, luong2015, OpenNMT-py), dense (see2017, fairseq),
        # dense_tanh (cho2014, bahdanau2015, nematus2017 and our own)
        if self.bridge_type == "zeros":
            hiddens = [hidden.new_zeros(hidden.shape[0], self.hidden_size)] * self.num_layers
        elif self.bridge_type == "copy":
            hiddens = list(hidden.unbind(1))
        else:
            projected = self.hidden_proj(hidden[:, -1])
            projected = torch.tanh(projected) if self.bridge_type == "dense_tanh" else projected
            hiddens = list(projected.chunk(self.num_layers, dim=-1))
        if not self.has_cell:
            return [(tensor,) for tensor in hiddens]
        if not self.needs_cell:
            cells = hiddens
        elif self.bridge_type == "copy":
            cells = cell.unbind(1)
        else:
            cells = self.cell_proj(cell[:, -1]).chunk(self.num_layers, dim=-1)
        return list(zip(hiddens, cells, strict=True))


__all__ = ["Bridge"]
