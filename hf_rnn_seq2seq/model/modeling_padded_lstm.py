"""An LSTM over padded sentences, by oneDNN's kernel for whole sequences, which knows no lengths."""

import torch
from torch import nn

# a gate's input that shuts it, exactly, in every precision
_SHUT = -1e4


def has_padded_lstm(dtype: torch.dtype) -> bool:
    """True where `nn.LSTM` goes through oneDNN, in training and without."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def read_padded(
    rnn: nn.LSTM, inputs: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read sentences from a state of zeros; the twin of `rnn` over a `PackedSequence`.

    One more input, 1 on padding, shuts the input gate there and opens the forget gate: the cell stays as it is. Where
    reading begins with padding, from the end, state and output so stay 0 until the sentence comes. From the start, the
    last real output is the state after the sentence.

    Args:
        rnn (`nn.LSTM`): of one layer, in one or both directions (D).
        inputs (`torch.Tensor` of shape `(B, S, width)`): padded on the right.
        lengths (`torch.LongTensor` of shape `(B)`): real inputs of each row, at least 1.

    Returns:
        `(outputs, hidden, cell)` of shapes `(B, S, D * H)`, 0 on padding, `(B, D * H)` and `(B, D * H)`.
    """
    size, num_directions = rnn.hidden_size, 2 if rnn.bidirectional else 1
    is_padding = torch.arange(inputs.shape[1]) >= lengths[:, None]  # (B, S)
    weights, is_padded = list(rnn._flat_weights), bool(is_padding.any())
    if is_padded:
        inputs = torch.cat([inputs, is_padding[..., None].to(inputs.dtype)], dim=-1)
        for place in range(0, len(weights), len(weights) // num_directions):
            column = weights[place].new_zeros(4, size)
            column[0], column[1] = _SHUT, -_SHUT
            weights[place] = torch.cat([weights[place], column.flatten()[:, None]], dim=1)
    start = inputs.new_zeros(num_directions, len(inputs), size)
    options = (rnn.bias, 1, 0.0, torch.is_grad_enabled(), rnn.bidirectional, True)
    outputs, hidden, cell = torch.lstm(inputs, (start, start), weights, *options)
    if is_padded:
        outputs = outputs.masked_fill(is_padding[..., None], 0.0)
        last = outputs[torch.arange(len(outputs)), lengths - 1, :size]
        hidden = torch.stack([last, *hidden[1:]])
    return outputs, hidden.transpose(0, 1).flatten(1), cell.transpose(0, 1).flatten(1)


__all__ = ["has_padded_lstm", "read_padded"]
