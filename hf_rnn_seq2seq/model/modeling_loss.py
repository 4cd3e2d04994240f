"""Output layer and cross-entropy in one, without ever holding the probabilities of all tokens."""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .modeling_products import multiply, turn

# entries of logits whose gradients are held at a time, and of those that are computed at once
BLOCK_SIZE, CHUNK_SIZE = 2**25, 2**22


class LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy in nats of `W features + b`, summed and divided; the twin of `nn.Linear` and `F.cross_entropy`.

    The gradient of the logits, `softmax - target`, is known with the loss: a block of tokens goes from features to
    logits to gradients of features and weights before the next is touched.

    Call `apply(features, weight, bias, labels, num_items, label_smoothing, dtype)`:

    Args:
        features (`torch.Tensor` of shape `(N, R)`): of N target tokens.
        weight (`torch.Tensor` of shape `(V, R)`), bias (`torch.Tensor` of shape `(V)`, *optional*): of the output
            layer.
        labels (`torch.LongTensor` of shape `(N)`): target tokens.
        num_items (`float`): what the sum is divided by.
        label_smoothing (`float`): share of the target spread evenly over the vocabulary (Szegedy et al. 2016,
            https://arxiv.org/abs/1512.00567, section 7).
        dtype (`torch.dtype`): of the matrix products; the rest is done in float32 at least.
    """

    @staticmethod
    def forward(ctx, features, weight, bias, labels, num_items, label_smoothing, dtype):
        needs_features, needs_weight, needs_bias = needs = ctx.needs_input_grad[:3]
        # without labels the loss is not a number, but its gradients are 0
        scale = 1 / num_items if len(features) else 0.0
        cast_features, cast_weight = features.to(dtype), weight.to(dtype)
        cast_bias = None if bias is None else bias.to(dtype)
        total = torch.zeros((), dtype=torch.promote_types(dtype, torch.float32))
        d_features, d_weight, d_bias = [], None, None
        turned = turn(cast_weight) if needs_features else None
        num_rows = max(1, BLOCK_SIZE // len(weight))
        for rows, targets in zip(cast_features.split(num_rows), labels.split(num_rows), strict=True):
            d_logits = rows.new_empty(len(rows), len(weight)) if any(needs) else None
            loss, d_bias_part = _differentiate(rows, cast_weight, cast_bias, targets, label_smoothing, d_logits)
            total += loss
            if needs_features:
                d_features.append(multiply(d_logits, turned))
            if needs_weight:
                # divided where it is smallest
                d_weight = _add(d_weight, torch.mm(d_logits.t(), rows * scale).to(weight.dtype))
            if needs_bias:
                d_bias = _add(d_bias, (d_bias_part * scale).to(bias.dtype))
        d_features = torch.cat(d_features).to(features.dtype).mul_(scale) if needs_features else None
        ctx.save_for_backward(d_features, d_weight, d_bias)
        return total / num_items

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):
        gradients = ctx.saved_tensors
        if d_total != 1:
            gradients = [None if gradient is None else gradient * d_total for gradient in gradients]
        return *gradients, None, None, None, None


def _differentiate(rows, weight, bias, targets, label_smoothing, d_logits) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss of features `rows` `(n, R)`, and its gradient by the bias `(V)`; that by the logits is written to
    `d_logits` `(n, V)`. Without it the loss is all.
    """
    dtype = torch.promote_types(rows.dtype, torch.float32)
    total, d_bias = torch.zeros((), dtype=dtype), torch.zeros(len(weight), dtype=dtype)
    num_rows = max(1, CHUNK_SIZE // len(weight))
    for start in range(0, len(rows), num_rows):
        chunk = slice(start, start + num_rows)
        labels, logits = targets[chunk, None], multiply(rows[chunk], weight, bias).to(dtype)
        probabilities = logits.softmax(-1)
        log_sums = _log_sum_exp(logits, probabilities, labels)
        total += (log_sums - (1 - label_smoothing) * logits.gather(1, labels)[:, 0]).sum()
        if label_smoothing:
            total -= label_smoothing * logits.mean(-1).sum()
        if d_logits is None:
            continue
        if label_smoothing:
            probabilities.sub_(label_smoothing / len(weight))
        probabilities.scatter_add_(1, labels, torch.full_like(labels, label_smoothing - 1, dtype=dtype))
        d_bias += probabilities.sum(0)
        d_logits[chunk] = probabilities
    return total, d_bias


def _log_sum_exp(logits: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """`log sum exp` of logits `(n, V)` whose softmax is known, from one entry of each row, at `labels` `(n, 1)`."""
    known = probabilities.gather(1, labels)[:, 0]
    log_sums = logits.gather(1, labels)[:, 0] - known.log()
    is_tiny = known < 1e-30
    if is_tiny.any():
        log_sums[is_tiny] = logits[is_tiny].logsumexp(-1)
    return log_sums


def _add(total: torch.Tensor | None, part: torch.Tensor) -> torch.Tensor:
    return part if total is None else total.add_(part)


def summed_cross_entropy(logits: torch.Tensor, labels: torch.LongTensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of logits `(B, T, V)`, summed over the labels `(B, T)` that are not -100, in nats."""
    return functional.cross_entropy(
        logits.flatten(0, 1).to(torch.promote_types(logits.dtype, torch.float32)),
        labels.flatten(),
        ignore_index=-100,
        reduction="sum",
        label_smoothing=label_smoothing,
    )


__all__ = ["LinearCrossEntropy", "summed_cross_entropy"]
