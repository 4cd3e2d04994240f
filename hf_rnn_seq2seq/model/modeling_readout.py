"""From context, decoder state and embedding to the features that the output layer reads."""

import torch
from torch import nn


class Readout(nn.Module):
    """Features before the output layer. Parts are the context, where there is one, the decoder's state, and, in
    decoders with the context inside the recurrence, the previous target embedding.

    - `"state"`: the state alone (Sutskever et al. 2014; GNMT, Wu et al. 2016).
    - `"concat"`: `[parts]` as they are (RNMT+, Chen et al. 2018).
    - `"linear"`: `W [parts] + b` (See et al. 2017, equation 4).
    - `"tanh"`: `tanh(W [parts] + b)` (Luong et al. 2015, equation 5; with the embedding Nematus' deep output).
    - `"maxout"`: the larger of each two neighbours of `W [parts] + b` (Bahdanau et al. 2015, appendix A.2.2).
    - `"context_gate"`: `tanh((1 - z) * W [rest] + z * C context)` with `z = sigmoid(U [parts] + b)`, rest the parts
      but the context (Tu et al. 2017, https://arxiv.org/abs/1608.06043, section 3.2, "both").

    Args:
        readout_type (`str`): one of these.
        part_sizes (`list[int]`): widths of the parts.
        readout_size (`int`): width of the features, R.
    """

    def __init__(self, *, readout_type: str, part_sizes: list[int], readout_size: int):
        super().__init__()
        self.readout_type = readout_type
        has_weights = readout_type in ("linear", "tanh", "maxout")
        size = 2 * readout_size if readout_type == "maxout" else readout_size
        self.proj = nn.Linear(sum(part_sizes), size) if has_weights else None
        if readout_type == "context_gate":
            self.gate_proj = nn.Linear(sum(part_sizes), readout_size)
            self.context_proj = nn.Linear(part_sizes[0], readout_size)
            self.rest_proj = nn.Linear(sum(part_sizes[1:]), readout_size)

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Features `(..., R)` from parts `(..., size)`."""
        # CODEPATH: see the class
        if self.readout_type == "context_gate":
            gate = self.gate_proj(torch.cat(parts, dim=-1)).sigmoid()
            rest = self.rest_proj(torch.cat(parts[1:], dim=-1))
            return torch.tanh((1 - gate) * rest + gate * self.context_proj(parts[0]))
        joined = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        if self.proj is None:
            return joined
        joined = self.proj(joined)
        if self.readout_type == "maxout":
            return joined.unflatten(-1, (-1, 2)).amax(-1)
        return torch.tanh(joined) if self.readout_type == "tanh" else joined


__all__ = ["Readout"]
