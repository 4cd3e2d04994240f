"""Attention over the encoder memory: energies, mask, softmax, context."""

import torch
from torch import nn


def weigh_memory(
    energies: torch.Tensor, memory: torch.Tensor, memory_mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn energies into attention weights and the context they select.

    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, equations 5 and 6.

    Args:
        energies (`torch.Tensor` of shape `(B, T, S)`): match of every query with every memory slot.
        memory (`torch.Tensor` of shape `(B, S, M)`): encoder outputs.
        memory_mask (`torch.BoolTensor` of shape `(B, S)`, *optional*): True where a source token stands.

    Returns:
        `(context, weights)` of shapes `(B, T, M)` and `(B, T, S)`. `weights` sum to 1 over S and are 0 on padding;
        in a row that is all padding they, and the context, are 0.
    """
    dtype = energies.dtype
    energies = energies.float() if dtype in (torch.float16, torch.bfloat16) else energies
    if memory_mask is None:
        weights = energies.softmax(-1)
    else:
        is_padding = ~memory_mask[:, None]
        # finfo.min, not -inf: a row of padding only must not become NaN
        weights = energies.masked_fill(is_padding, torch.finfo(energies.dtype).min).softmax(-1)
        # such a row is uniform now, over a width that depends on its neighbours in the batch
        weights = weights.masked_fill(is_padding, 0.0)
    weights = weights.to(dtype)
    return weights @ memory.to(dtype), weights


class DotAttention(nn.Module):
    """`energy = scale * q . m`. Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, "dot".

    Args:
        query_size (`int`): width of the decoder query, H.
        memory_size (`int`): width of one encoder output, M.
        scale (`float`): of every energy; 1 in the paper.

    Raises:
        ValueError: if `query_size` and `memory_size` differ.
    """

    def __init__(self, *, query_size: int, memory_size: int, scale: float = 1.0):
        super().__init__()
        self.scale = scale
        if query_size != memory_size:
            raise ValueError(
                f"`query_size` and `memory_size` must be equal for dot attention, got {query_size} and {memory_size}; "
                "use `GeneralAttention`."
            )

    def project_memory(self, memory: torch.Tensor) -> torch.Tensor:
        """Keys of shape `(B, S, A)` that queries are compared with, computed once per source sentence."""
        return memory

    def forward(
        self,
        query: torch.Tensor,
        memory: torch.Tensor,
        keys: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weigh the memory by its match with each query.

        Args:
            query (`torch.Tensor` of shape `(B, T, H)`): decoder states.
            memory (`torch.Tensor` of shape `(B, S, M)`): encoder outputs.
            keys (`torch.Tensor` of shape `(B, S, A)`): `project_memory(memory)`.
            memory_mask (`torch.BoolTensor` of shape `(B, S)`, *optional*): True where a source token stands.

        Returns:
            `(context, weights)` of shapes `(B, T, M)` and `(B, T, S)`.
        """
        # the scale goes to the smaller factor
        energies = (query * self.scale) @ keys.transpose(1, 2).to(query.dtype)  # (B, T, S)
        return weigh_memory(energies, memory, memory_mask)


class GeneralAttention(DotAttention):
    """`energy = scale * q . W m`. Luong et al. 2015, https://arxiv.org/abs/1508.04025, equation 8, "general".

    Args:
        query_size (`int`): width of the decoder query, H.
        memory_size (`int`): width of one encoder output, M.
        scale (`float`): of every energy; 1 in the paper.
    """

    def __init__(self, *, query_size: int, memory_size: int, scale: float = 1.0):
        super().__init__(query_size=query_size, memory_size=query_size, scale=scale)
        self.memory_proj = nn.Linear(memory_size, query_size, bias=False)

    def project_memory(self, memory: torch.Tensor) -> torch.Tensor:
        """Keys of shape `(B, S, H)` that queries are compared with, computed once per source sentence."""
        return self.memory_proj(memory)


class AdditiveAttention(nn.Module):
    """`energy = v . tanh(W q + U m)`. Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2.

    Args:
        query_size (`int`): width of the decoder query, H.
        memory_size (`int`): width of one encoder output, M.
        attention_size (`int`): width of the shared space both are projected into, A.
    """

    def __init__(self, *, query_size: int, memory_size: int, attention_size: int):
        super().__init__()
        self.query_proj = nn.Linear(query_size, attention_size, bias=False)
        self.memory_proj = nn.Linear(memory_size, attention_size, bias=False)
        self.energy_proj = nn.Linear(attention_size, 1, bias=False)

    def project_memory(self, memory: torch.Tensor) -> torch.Tensor:
        """Keys of shape `(B, S, A)` that queries are compared with, computed once per source sentence."""
        return self.memory_proj(memory)

    def forward(
        self,
        query: torch.Tensor,
        memory: torch.Tensor,
        keys: torch.Tensor,
        memory_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weigh the memory by its match with each query; arguments and result as `DotAttention.forward`."""
        pairs = self.query_proj(query)[:, :, None] + keys[:, None]  # (B, T, S, A)
        energies = self.energy_proj(torch.tanh(pairs)).squeeze(-1)  # (B, T, S)
        return weigh_memory(energies, memory, memory_mask)


__all__ = ["AdditiveAttention", "DotAttention", "GeneralAttention", "weigh_memory"]
