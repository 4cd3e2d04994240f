"""Output layer and cross-entropy in one, without ever holding the probabilities of all tokens."""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .modeling_products import multiply

# entries of the logits that are held at a time
CHUNK_SIZE = 2**22


class LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy in nats of `W features + b`, summed and divided; the twin of `nn.Linear` and `F.cross_entropy`.

    The gradient of the logits, `softmax - target`, is known with the loss: a chunk of tokens goes from features to
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
        needs_features, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        cast_features, cast_weight = features.to(dtype), weight.to(dtype)
        cast_bias = None if bias is None else bias.to(dtype)
        total = torch.zeros((), dtype=torch.promote_types(dtype, torch.float32))
        d_features = torch.empty_like(cast_features) if needs_features else None
        d_weight = torch.zeros_like(weight) if needs_weight else None
        d_bias = torch.zeros_like(bias) if needs_bias else None
        num_rows = max(1, CHUNK_SIZE // len(weight))
        for start in range(0, len(features), num_rows):
            rows, targets = cast_features[start : start + num_rows], labels[start : start + num_rows, None]
            logits = multiply(rows, cast_weight, cast_bias).to(total.dtype)
            probabilities = logits.softmax(-1)
            # a largest probability is never 0, a target's may be
            log_sums = logits.amax(-1) - probabilities.amax(-1).log()
            total += (log_sums - (1 - label_smoothing) * logits.gather(1, targets)[:, 0]).sum()
            if label_smoothing:
                total -= label_smoothing * logits.mean(-1).sum()
            if not any(ctx.needs_input_grad[:3]):
                continue
            d_logits = probabilities.sub_(label_smoothing / len(weight)) if label_smoothing else probabilities
            d_logits.scatter_add_(1, targets, torch.full_like(targets, label_smoothing - 1, dtype=total.dtype))
            if needs_bias:
                d_bias += d_logits.sum(0)
            d_logits = d_logits.to(dtype)
            if needs_features:
                torch.mm(d_logits, cast_weight, out=d_features[start : start + num_rows])
            # divided where it is smallest
            rows = rows / num_items
            if needs_weight and dtype == d_weight.dtype:
                d_weight.addmm_(d_logits.t(), rows)
            elif needs_weight:
                d_weight += torch.mm(d_logits.t(), rows)
        if needs_features:
            d_features = d_features.to(features.dtype).div_(num_items)
        if needs_bias and len(features):
            d_bias.div_(num_items)
        ctx.save_for_backward(d_features, d_weight, d_bias)
        return total / num_items

    @staticmethod
    @once_differentiable
    def backward(ctx, d_total):
        gradients = ctx.saved_tensors
        if d_total != 1:
            gradients = [None if gradient is None else gradient * d_total for gradient in gradients]
        return *gradients, None, None, None, None


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
