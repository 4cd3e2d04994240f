"""One recurrent layer as a function of (inputs, state): a whole sequence at once, or step by step."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import initialization as init

# `(hidden,)` or, LSTM, `(hidden, cell)`; each (B, H), or (B, 2H) of a bidirectional layer: forward, then backward
State = tuple[torch.Tensor, ...]


def lstm_step(
    projected: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """One step of an LSTM with forget gate. Gers et al. 2000, without peepholes; gate order i, f, g, o as in torch.

    Args:
        projected (`torch.Tensor` of shape `(B, 4H)`): `W_ih x + b_ih`.
        state (`State`): hidden and cell, each `(B, H)`.
        weight_hh (`torch.Tensor` of shape `(4H, H)`): recurrent weights.
        bias_hh (`torch.Tensor` of shape `(4H)`): recurrent bias.

    Returns:
        `(output, state)`: the new hidden of shape `(B, H)`, and `(hidden, cell)`.
    """
    hidden, cell = state
    gates = projected + nn.functional.linear(hidden, weight_hh, bias_hh)
    input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
    cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
    hidden = output_gate.sigmoid() * cell.tanh()
    return hidden, (hidden, cell)


def gru_step(
    projected: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """One step of a GRU. Cho et al. 2014, https://arxiv.org/abs/1406.1078, equations 5 to 8, with the reset gate
    after the recurrent product; gate order r, z, n as in torch.

    Args:
        projected (`torch.Tensor` of shape `(B, 3H)`): `W_ih x + b_ih`.
        state (`State`): hidden of shape `(B, H)`.
        weight_hh (`torch.Tensor` of shape `(3H, H)`): recurrent weights.
        bias_hh (`torch.Tensor` of shape `(3H)`): recurrent bias.

    Returns:
        `(output, state)`: the new hidden of shape `(B, H)`, and `(hidden,)`.
    """
    (hidden,) = state
    recurrent = nn.functional.linear(hidden, weight_hh, bias_hh)
    reset_x, update_x, candidate_x = projected.chunk(3, dim=-1)
    reset_h, update_h, candidate_h = recurrent.chunk(3, dim=-1)
    reset_gate = (reset_x + reset_h).sigmoid()
    update_gate = (update_x + update_h).sigmoid()
    candidate = (candidate_x + reset_gate * candidate_h).tanh()
    hidden = candidate + update_gate * (hidden - candidate)
    return hidden, (hidden,)


class RecurrentLayer(nn.Module):
    """One LSTM or GRU layer, read in one or both directions.

    Args:
        cell_type (`str`): `"lstm"` or `"gru"`.
        input_size (`int`): width of one input.
        hidden_size (`int`): units H in one direction.
        bidirectional (`bool`): read in both directions; outputs and states are then `2H` wide.
    """

    def __init__(self, *, cell_type: str, input_size: int, hidden_size: int, bidirectional: bool = False):
        super().__init__()
        rnn_class, self.step_function = {"lstm": (nn.LSTM, lstm_step), "gru": (nn.GRU, gru_step)}[cell_type]
        self.rnn = rnn_class(input_size, hidden_size, bidirectional=bidirectional, batch_first=True)

    def forward(
        self, inputs: torch.Tensor, state: State | None = None, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Read a whole sequence.

        Args:
            inputs (`torch.Tensor` of shape `(B, S, input_size)`): padded on the right.
            state (`State`, *optional*): where to start, zeros if not given.
            lengths (`torch.LongTensor` of shape `(B)`, *optional*): real inputs of each row, on the CPU, each at
                least 1; all of them if not given. Outputs beyond are 0.

        Returns:
            `(outputs, state)`: outputs of shape `(B, S, H or 2H)` and the state after each row's last real input.
        """
        if inputs.is_cuda:
            # weights loaded from a checkpoint lie in separate storages, which cuDNN would copy on every call
            self.rnn.flatten_parameters()
        start = None if state is None else tuple(self._split_directions(tensor) for tensor in state)
        start = start[0] if start is not None and len(start) == 1 else start
        if lengths is None:
            outputs, final = self.rnn(inputs, start)
        else:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            outputs, final = self.rnn(packed, start)
            outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        final = final if isinstance(final, tuple) else (final,)
        return outputs, tuple(tensor.transpose(0, 1).flatten(1) for tensor in final)

    def project_inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """`W_ih x + b_ih` for the first part of the input, for all steps at once.

        Args:
            inputs (`torch.Tensor` of shape `(..., width)`): the first `width` entries of the layer's input, those
                that do not depend on the step; the rest goes through `weight_after(width)`.

        Returns:
            `torch.Tensor` of shape `(..., 4H)` (LSTM) or `(..., 3H)` (GRU).
        """
        return nn.functional.linear(inputs, self.rnn.weight_ih_l0[:, : inputs.shape[-1]], self.rnn.bias_ih_l0)

    def weight_after(self, width: int) -> torch.Tensor:
        """Columns of the input weights for what follows the first `width` entries of the layer's input."""
        return self.rnn.weight_ih_l0[:, width:]

    def step(self, projected: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One step of a unidirectional layer from its projected input; shapes as in `lstm_step` and `gru_step`."""
        return self.step_function(projected, state, self.rnn.weight_hh_l0, self.rnn.bias_hh_l0)

    def _split_directions(self, state: torch.Tensor) -> torch.Tensor:
        return state.unflatten(1, (-1, self.rnn.hidden_size)).transpose(0, 1).contiguous()


@torch.no_grad()
def init_recurrent_weights(rnn: nn.LSTM | nn.GRU) -> None:
    """Xavier input weights, orthogonal recurrent weights, zero biases, forget gates open.

    Each gate is drawn on its own. Orthogonal: Saxe et al. 2014, https://arxiv.org/abs/1312.6120. Forget-gate bias 1:
    Jozefowicz et al. 2015, section 2.2. Weights that came from a checkpoint are left alone.
    """
    hidden_size = rnn.hidden_size
    for name, weight in rnn.named_parameters():
        # float32: QR, behind the orthogonal draw, knows no half precision
        drawn = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for gate in drawn.split(hidden_size):
            if name.startswith("weight_ih"):
                init.xavier_uniform_(gate)
            elif name.startswith("weight_hh"):
                init.orthogonal_(gate)
        if name.startswith("bias_ih") and isinstance(rnn, nn.LSTM):
            drawn[hidden_size : 2 * hidden_size] = 1.0
        init.copy_(weight, drawn)


__all__ = ["RecurrentLayer", "State", "gru_step", "init_recurrent_weights", "lstm_step"]
