"""Copying source tokens: the pointer-generator's mixture, and the coverage loss."""

import torch
from torch.nn import functional


def mix_copies(
    logits: torch.Tensor, gate_logits: torch.Tensor, weights: torch.Tensor, source_ids: torch.LongTensor
) -> torch.Tensor:
    """Log-probabilities of `p P_vocabulary(w) + (1 - p) sum of a_i where x_i = w`. See et al. 2017, equation 9.

    Args:
        logits (`torch.Tensor` of shape `(B, T, V)`): of the vocabulary.
        gate_logits (`torch.Tensor` of shape `(B, T, 1)`): of p, generating rather than copying (equation 8 before the
            sigmoid).
        weights (`torch.Tensor` of shape `(B, T, S)`): attention a.
        source_ids (`torch.LongTensor` of shape `(B, S)`): source tokens x in the target's vocabulary.

    Returns:
        `torch.Tensor` of shape `(B, T, V)`, in float32 or float64; their exponentials sum to 1.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    gate_logits, weights = gate_logits.to(logits.dtype), weights.to(logits.dtype)
    index = source_ids[:, None].expand(-1, weights.shape[1], -1)
    copied = torch.zeros_like(logits).scatter_add(2, index, weights)
    # what the source does not hold has the smallest of numbers, not log 0
    copied = copied.clamp(min=torch.finfo(logits.dtype).tiny).log()
    log_sigmoid = functional.logsigmoid
    return torch.logaddexp(log_sigmoid(gate_logits) + logits.log_softmax(-1), log_sigmoid(-gate_logits) + copied)


def summed_coverage_loss(weights: torch.Tensor, labels: torch.LongTensor) -> torch.Tensor:
    """How much steps look where earlier steps have: `sum over i of min(a_i, c_i)`, c the sum of earlier a, summed
    over the steps of the batch.

    See et al. 2017, equation 12.

    Args:
        weights (`torch.Tensor` of shape `(B, N, T, S)`): attention of N heads; a is their mean.
        labels (`torch.LongTensor` of shape `(B, T)`): target tokens; steps of -100 do not count.
    """
    weights = weights.mean(1)
    coverage = weights.cumsum(1) - weights
    losses = torch.minimum(weights, coverage).sum(-1)  # (B, T)
    return (losses * (labels != -100)).sum()


__all__ = ["mix_copies", "summed_coverage_loss"]
