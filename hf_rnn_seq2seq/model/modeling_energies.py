"""Energies of additive attention with a backward pass written by hand."""

import torch
from torch.autograd.function import once_differentiable

from .modeling_products import tanh_


class AdditiveEnergies(torch.autograd.Function):
    """`v . tanh(query + key)` of every query with every key; the twin of what [`AdditiveAttention`] spells out.

    Call `apply(queries, keys, vectors)`, all of one type but the vectors, which are cast to it:

    Args:
        queries (`torch.Tensor` of shape `(B, N, T, A / N)`): projected, for each of N heads.
        keys (`torch.Tensor` of shape `(B, N, S, A / N)`): likewise.
        vectors (`torch.Tensor` of shape `(N, A / N)`): v.

    Returns:
        `torch.Tensor` of shape `(B, N, T, S)`.
    """

    @staticmethod
    def forward(ctx, queries, keys, vectors):
        pairs = tanh_(queries[:, :, :, None] + keys[:, :, None])
        ctx.dtype, vectors = vectors.dtype, vectors.to(pairs.dtype)
        ctx.save_for_backward(pairs, vectors)
        if len(vectors) == 1:
            return torch.nn.functional.linear(pairs, vectors).squeeze(-1)
        return (pairs @ vectors[:, None, :, None]).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx, d_energies):
        pairs, vectors = ctx.saved_tensors
        d_energies = d_energies.to(pairs.dtype)
        d_vectors = torch.einsum("bnts,bntsa->na", d_energies, pairs)
        slopes = torch.ops.aten.tanh_backward(vectors[:, None, None], pairs)  # (B, N, T, S, A / N)
        d_queries = torch.matmul(d_energies[..., None, :], slopes).squeeze(-2)
        d_pairs = slopes.mul_(d_energies[..., None])
        d_keys = d_pairs.squeeze(2) if d_pairs.shape[2] == 1 else d_pairs.sum(2)
        return d_queries, d_keys, d_vectors.to(ctx.dtype)


__all__ = ["AdditiveEnergies"]
