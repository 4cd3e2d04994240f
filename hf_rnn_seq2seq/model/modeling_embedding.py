"""Token embeddings."""

import torch
from torch import nn


class ScaledEmbedding(nn.Embedding):
    """Token embeddings, multiplied by a constant where they are read.

    Args:
        num_embeddings (`int`): number of tokens, V.
        embedding_dim (`int`): width, E.
        padding_idx (`int`, *optional*): token whose embedding stays 0.
        scale (`float`): the constant.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, *, scale: float):
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.scale = scale

    def forward(self, ids: torch.LongTensor) -> torch.Tensor:
        """Embeddings `(..., E)` of token ids `(...)`."""
        return super().forward(ids) * self.scale


__all__ = ["ScaledEmbedding"]
