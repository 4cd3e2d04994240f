"""Token embeddings."""

import torch
from torch import nn

from .configuration_rnn_seq2seq import RnnSeq2SeqConfig


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

    @classmethod
    def from_config(cls, config: RnnSeq2SeqConfig, num_tokens: int, width: int) -> "ScaledEmbedding":
        """Embeddings of one side."""
        # CODEPATH: scaled in models trained here, unscaled in those of papers and older toolkits
        scale = width**0.5 if config.scale_embedding else 1.0
        return cls(num_tokens, width, config.pad_token_id, scale=scale)

    def forward(self, ids: torch.LongTensor) -> torch.Tensor:
        """Embeddings `(..., E)` of token ids `(...)`."""
        return super().forward(ids) * self.scale


def embed(embed_tokens: ScaledEmbedding, ids, embeds, *, name: str) -> torch.Tensor:
    """Exactly one of token ids `(B, T)` and embeddings `(B, T, E)`, as embeddings.

    Args:
        name (`str`): `""` or `"decoder_"`, for messages.

    Raises:
        ValueError: if both or neither are given, if they are empty, or of another vocabulary or width.
    """
    names = f"`{name}input_ids` and `{name}inputs_embeds`"
    if (ids is None) == (embeds is None):
        raise ValueError(f"Exactly one of {names} must be given, got {'neither' if ids is None else 'both'}.")
    if embeds is None:
        try:
            embeds = embed_tokens(ids)
        except IndexError as error:
            raise ValueError(
                f"`{name}input_ids` must lie between 0 and {embed_tokens.num_embeddings - 1}, got {int(ids.min())} to "
                f"{int(ids.max())}; use the tokenizer that was saved with the model."
            ) from error
    elif embeds.shape[-1] != embed_tokens.embedding_dim:
        raise ValueError(
            f"`{name}inputs_embeds` must be {embed_tokens.embedding_dim} wide, as embeddings are here, got "
            f"{embeds.shape[-1]}."
        )
    if embeds.shape[1] == 0:
        raise ValueError(f"{names} must hold at least one position, got shape {tuple(embeds.shape[:2])}.")
    return embeds


__all__ = ["ScaledEmbedding", "embed"]
